"""Records one history of every workflow and every kind of end: `python -m tests.workflows.record [CASE...]`.

It starts the services and two hosts on libvirt's test driver, lets operations end in every way, and replaces
tests/histories/<workflow>-<case>.json by what Temporal recorded: decrypted, secrets masked, directories renamed.
Run it when a workflow was changed on purpose and the old histories need not replay any more (docs/upgrades.md);
what came before a release is kept. About a minute, most of it waiting for deadlines."""

import asyncio
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import update
from sqlmodel import col
from temporalio import activity
from temporalio.client import WorkflowContinuedAsNewError, WorkflowFailureError, WorkflowHandle
from temporalio.worker import ActivityInboundInterceptor

from infra import logs
from infra.contracts.audit import AuditRequest, RepairRequest
from infra.contracts.operation import STEPS_OF, ActionRequest
from infra.contracts.requests import BootRequest, DeleteRequest, Fault
from infra.starting import Starter, timer_id
from infra.stores.listening import LISTENER
from infra.tables.compute import Instance, Service, now
from infra.temporal import CONTROL_QUEUE, connect, server_workflow_id
from tests.faults import Faults
from tests.ids import stable_id
from tests.openstack import OpenStack
from tests.resilience import planted
from tests.workflows import histories
from tests.workflows.acting import body_of, stop_due
from tests.workflows.cloud import Cloud, Services
from tests.workflows.histories import HISTORIES
from tests.workflows.servers import HOSTS, instance_of
from tests.workflows.ways import ELSEWHERE, SOFT_DELETE, WAYS, action_of
from workers.replay import in_clear
from workflows.actions import ACTIONS
from workflows.follow_services import FollowServices
from workflows.reconcile_cloud import ReconcileCloud

AT_ONCE = 8
"""Cases that are recorded at a time: most of them wait, but a crowd of them would wait for each other."""
Handle = WorkflowHandle[Any, Any]
Case = Callable[["Recorder"], Awaitable[None]]
CASES: dict[str, Case] = {}


def case(record: Case) -> Case:
    CASES[record.__name__] = record
    return record


class FaultsByOperation(Faults):
    """Faults of many operations at once: each workflow id has its own."""

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[str, Faults] = {}

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _ByOperation(next, self)


class _ByOperation(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, all: FaultsByOperation) -> None:
        super().__init__(next)
        self._all = all

    async def execute_activity(self, input: Any) -> Any:
        mine = self._all.of.get(activity.info().workflow_id or "")
        step = mine.intercept_activity(self.next) if mine else self.next
        return await step.execute_activity(input)


class Recorder:
    def __init__(self, cloud: Cloud, into: Path) -> None:
        self.cloud, self.into, self._group = cloud, into, ""
        self.faults = cloud.faults = FaultsByOperation()
        self.rename = {str(cloud.settings.state_dir): "/var/lib/kilonova", f"@{socket.gethostname()}": "@controller"}

    def arm(self, handle_or_request: Handle | BootRequest, **faults: Any) -> Faults:
        of = handle_or_request
        id = server_workflow_id(of.instance_id) if isinstance(of, BootRequest) else of.id
        self.faults.of[id] = Faults(**faults)
        return self.faults.of[id]

    async def boot(self, request: BootRequest | None = None, **faults: Any) -> Handle:
        """Start a boot whose steps fail, or are held, as told."""
        request = request or self.cloud.request()
        self.arm(request, **faults)
        asyncio.create_task(self.cloud.ops.boot(request)).add_done_callback(lambda t: t.cancelled() or t.exception())
        return await self.started(server_workflow_id(request.instance_id))

    async def started(self, id: str) -> Handle:
        """The run that `id` has now, and that the handle goes on to mean."""
        end = time.monotonic() + 10
        while True:
            try:
                run = await self.cloud.client.get_workflow_handle(id).describe()
                return self.cloud.client.get_workflow_handle(id, run_id=run.run_id)
            except Exception:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.02)

    async def held(self, handle: Handle) -> Faults:
        faults = self.faults.of[handle.id]
        await asyncio.wait_for(faults.held.wait(), 60)
        return faults

    async def active(self, **request: Any) -> Handle:
        handle = await self.boot(self.cloud.request(**request))
        if error := await self.cloud.end(handle):
            raise AssertionError(f"{handle.id} is not active") from error
        return handle

    async def deleting(self, handle: Handle) -> Handle:
        await self.cloud.delete(handle)
        return await self.started(handle.id)

    async def volume(self) -> str:
        """A volume that can be attached."""
        volume = {"volume": {"size": 1}}
        made = await asyncio.to_thread(self.cloud.post, "volume", "/v3/volumes", volume)
        url = self.cloud.settings.url("volume", f"/v3/volumes/{made['volume']['id']}")
        for _ in range(100):
            shown = httpx.get(url, headers={"X-Auth-Token": self.cloud.token}).json()
            if shown["volume"]["status"] == "available":
                break
            await asyncio.sleep(0.1)
        return str(made["volume"]["id"])

    def image(self) -> str:
        """An image that a volume can be made of."""
        form = {"name": "root", "disk_format": "raw", "container_format": "bare"}
        id = str(self.cloud.post("image", "/v2/images", form)["id"])
        headers = {"X-Auth-Token": self.cloud.token, "Content-Type": "application/octet-stream"}
        url = self.cloud.settings.url("image", f"/v2/images/{id}/file")
        httpx.put(url, content=bytes(1 << 20), headers=headers).raise_for_status()
        return id

    def group(self) -> str:
        """A security group that no port has yet."""
        if not self._group:
            made = self.cloud.post("network", "/v2.0/security-groups", {"security_group": {"name": "web"}})
            self._group = str(made["security_group"]["id"])
        return self._group

    async def act(
        self, handle: Handle, name: str, volume: str = "", more: dict[str, Any] | None = None, **faults: Any
    ) -> Handle:
        """Start an action whose steps fail, or are held, as told. `more`: what its body has besides."""
        self.arm(handle, **faults)
        action, body = ACTIONS[action_of(name)], dict(body_of(self.cloud, handle, name))
        body |= {"volume_id": volume} if "volume_id" in body else {}
        body |= {"network_id": self.cloud.network} if "network_id" in body else {}
        body |= {"group_id": await asyncio.to_thread(self.group)} if "group_id" in body else {}
        body |= {"attachment_id": stable_id(volume, "attachment")} if "attachment_id" in body else {}
        if "new_volume_id" in body:
            new = await self.volume()
            body |= {"new_volume_id": new, "attachment_id": stable_id(new, "attachment")}
        request = ActionRequest(
            requester=self.cloud.requester(),
            instance_id=instance_of(handle),
            action=action.name,
            transition=action.transition_for(body),
            body=body | (more or {}),
            steps_of=STEPS_OF,
        )
        before = (await self.started(handle.id)).run_id
        starting = asyncio.create_task(self.cloud.ops.start(action, request))
        starting.add_done_callback(lambda done: done.cancelled() or done.exception())
        while (found := await self.started(handle.id)).run_id == before:
            await asyncio.sleep(0.02)
        return found

    def put_into(self, handle: Handle, vm_state: str) -> None:
        with self.cloud.database.write() as session:
            session.get_one(Instance, instance_of(handle)).vm_state = vm_state

    async def decide(self, handle: Handle, decision: str) -> None:
        """Once the build is parked."""
        for _ in range(400):
            record = await asyncio.to_thread(self.cloud.record, handle)
            if record and record.parked:
                break
            await asyncio.sleep(0.05)
        await self.cloud.ops.resume(self.cloud.requester(), instance_of(handle), decision)

    async def keep(self, handle: Handle, workflow: str, end: str) -> None:
        """Wait for this run's end and write its history."""
        try:
            await asyncio.wait_for(handle.result(follow_runs=False), 80)
        except TimeoutError:
            raise
        except (WorkflowFailureError, WorkflowContinuedAsNewError):
            pass  # most of them are to fail; the test looks at how they ended
        history = await handle.fetch_history()
        text = await in_clear(history, self.cloud.client.data_converter, self.rename)
        (self.into / f"{workflow}-{end}.json").write_text(text)

    def silence(self, host: str, silent: bool) -> None:
        """Have a host seem dead to an API that always listened, or alive again."""
        seen = now() - timedelta(days=1) if silent else now()
        with self.cloud.database.write() as session:
            listens = update(Service).where(col(Service.binary) == LISTENER)
            session.execute(listens.values(updated_at=now() - timedelta(days=2)))
            session.execute(update(Service).where(col(Service.host) == host).values(last_seen=seen))


FOLLOW = "follow_services"
BOOT, DELETE, RECONCILE, REPAIR = "boot_instance", "delete_instance", "reconcile_cloud", "repair_instance"


@case
async def good(r: Recorder) -> None:
    boot = await r.active()
    await r.keep(boot, BOOT, "good")
    deleting = await r.deleting(boot)
    await r.keep(deleting, DELETE, "good")
    await r.keep(await r.deleting(boot), DELETE, "already-gone")


@case
async def diskless(r: Recorder) -> None:
    """Neither image nor port nor volume: the steps that not every build needs are left out."""
    boot = await r.active(image_id="", ports=[], volumes=[])
    await r.keep(boot, BOOT, "bare")
    await r.keep(await r.deleting(boot), DELETE, "bare")


@case
async def image_there(r: Recorder) -> None:
    """On a host whose report names the image: no step fetches it."""
    first = r.cloud.request(forced_host=HOSTS[0])
    await r.cloud.end(await r.boot(first))
    await asyncio.to_thread(r.cloud.report, r.cloud.hosts[HOSTS[0]])
    again = partial(r.cloud.request, forced_host=HOSTS[0], image_id=first.image_id)
    await r.keep(await r.boot(again()), BOOT, "image-there")
    await r.keep(await r.boot(again(), fail_after="spawn"), BOOT, "image-there-failed")


@case
async def found_by_its_host(r: Recorder) -> None:
    """Told at its end, and at the first look of a watch that looks every 20 seconds."""
    await r.keep(await r.active(image_id="", ports=[], volumes=[]), BOOT, "found-at-its-end")
    boot = await r.boot(hold="spawn")
    faults = await r.held(boot)
    await asyncio.sleep(21)
    faults.release.set()
    await r.keep(boot, BOOT, "found-while-it-runs")


@case
async def failed(r: Recorder) -> None:
    await r.keep(await r.boot(fail_after="spawn"), BOOT, "failed")


@case
async def refused(r: Recorder) -> None:
    request = r.cloud.request()
    request.requester.token = "unknown"
    await r.keep(await r.boot(request), BOOT, "refused-token")
    await r.keep(await r.boot(r.cloud.request(quota={"instances": 0})), BOOT, "refused-quota")


@case
async def cancelled(r: Recorder) -> None:
    boot = await r.boot(hold="spawn")
    faults = await r.held(boot)
    await r.cloud.cancel(boot)
    faults.release.set()
    await r.keep(boot, BOOT, "cancelled")


@case
async def rescheduled(r: Recorder) -> None:
    await r.keep(await r.boot(fail_after="spawn", kind="HostCannot", times=1), BOOT, "rescheduled")


@case
async def no_valid_host(r: Recorder) -> None:
    await r.keep(await r.boot(fail_before="spawn", kind="HostCannot"), BOOT, "no-valid-host")


@case
async def retried_step(r: Recorder) -> None:
    await r.keep(await r.boot(fail_before="spawn", kind="Transient", times=2), BOOT, "step-retried")


@case
async def parked(r: Recorder) -> None:
    hints = {"kilonova:on_failure": "park"}
    boot = await r.boot(r.cloud.request(hints=hints), fail_before="spawn", times=1)
    await r.decide(boot, "retry")
    await r.keep(boot, BOOT, "parked-retried")
    boot = await r.boot(r.cloud.request(hints=hints), fail_before="spawn")
    await r.decide(boot, "abort")
    await r.keep(boot, BOOT, "parked-aborted")
    boot = await r.boot(r.cloud.request(hints=hints, park_deadline_s=1), fail_before="spawn")
    await r.keep(boot, BOOT, "parked-forgotten")


@case
async def deleted_while_building(r: Recorder) -> None:
    boot = await r.boot(hold="spawn")
    faults = await r.held(boot)
    await r.cloud.delete(boot)
    await r.cloud.delete(boot)
    faults.release.set()
    await r.keep(boot, BOOT, "deleted")
    await r.keep(await r.started(boot.id), DELETE, "of-a-build")


@case
async def undo_failed(r: Recorder) -> None:
    boot = await r.boot(fail_after="spawn", hold="destroy")
    faults = await r.held(boot)
    faults.fail_before, faults.times = "unplug_ports", 1
    faults.release.set()
    await r.keep(boot, BOOT, "undo-failed")


@case
async def built_again(r: Recorder) -> None:
    boot = await r.boot(fail_before="spawn")
    await r.cloud.end(boot)
    r.arm(boot)
    await r.cloud.ops.retry(r.cloud.requester(), instance_of(boot))
    again = await r.started(boot.id)
    assert again.run_id != boot.run_id
    await r.keep(again, BOOT, "built-again")


@case
async def overdue(r: Recorder) -> None:
    """The deadline is looked at every 20 seconds, and the host as well."""
    boot = await r.boot(r.cloud.request(deadline_s=1), hold="fetch_to_host")
    faults = await r.held(boot)
    await asyncio.sleep(21)
    faults.release.set()
    await r.keep(boot, BOOT, "overdue")


@case
async def deleted_twice(r: Recorder) -> None:
    boot = await r.active()
    r.arm(boot, hold="destroy")
    deleting = await r.deleting(boot)
    faults = await r.held(boot)
    await r.cloud.delete(boot)
    faults.release.set()
    await r.keep(deleting, DELETE, "twice")


@case
async def deleted_softly(r: Recorder) -> None:
    boot = await r.active(image_id="", ports=[], volumes=[])
    r.arm(boot)
    await r.cloud.delete(boot, reclaim_after_s=3600)
    await r.keep(await r.started(boot.id), DELETE, "soft")


@case
async def abandoned(r: Recorder) -> None:
    """What the audit starts for a build whose workflow was terminated."""
    boot = await r.boot(hold="mark_active")
    faults = await r.held(boot)
    await boot.terminate()
    faults.release.set()
    request = DeleteRequest(
        requester=r.cloud.requester(), instance_id=instance_of(boot), keep_as=Fault(message="ended from outside")
    )
    await r.cloud.ops.delete(request)
    await r.keep(await r.started(boot.id), DELETE, "abandoned")


async def acted(r: Recorder, name: str) -> None:
    """Every kind of end of one row of the table of actions."""
    file = histories.name_of(ACTIONS[name].workflow)
    for end, faults in histories.ENDS_OF_ACTIONS.items():
        image_id = "0b3e3a2e-0000-4000-8000-000000000008" if name == "createImage" else ""
        bare = {"volumes": []} | ({} if "group_id" in WAYS[name].body else {"ports": []})
        server = await r.active(image_id=image_id, **bare)
        volume = await r.volume() if "volume_id" in WAYS[name].body else ""
        for before in WAYS[name].before:
            if before == SOFT_DELETE:
                await r.cloud.delete(server, reclaim_after_s=3600)
            else:
                await r.act(server, before, volume)
            await r.cloud.end(server)
        if end == "refused":
            r.put_into(server, "shelved" if "shelved" not in ACTIONS[name].transition.allowed else "building")
        acting = await r.act(server, name, volume, **faults)
        if "hold" in faults:
            held = await r.held(acting)
            await (r.cloud.delete(acting) if end == "deleted" else r.cloud.cancel(acting))
            held.release.set()
        await r.keep(acting, file, end)
        if end != "deleted":
            await r.cloud.delete(server)


@case
async def image_of_volumes(r: Recorder) -> None:
    server = await r.active(image_id="", ports=[])
    await r.keep(await r.act(server, "createImage"), "create_image", "volume-backed")
    await r.cloud.delete(server)


@case
async def volume_rebuilt(r: Recorder) -> None:
    """The volume that a server boots from is given the image, or stays as it is."""
    image_id = await asyncio.to_thread(r.image)
    for end in ("volume-written", "volume-kept"):
        server = await r.active(image_id="", ports=[])
        record = r.cloud.record(server)
        assert record is not None
        written = record.volumes[0]["volume_id"] if end == "volume-written" else ""
        acting = await r.act(server, "rebuild", more={"image_id": image_id, "volume_id": written})
        await r.keep(acting, "rebuild_instance", end)
        await r.cloud.delete(server)


@case
async def moved(r: Recorder) -> None:
    """A resize to another host: undone, with no other host that can, good, reverted, confirmed. What `elsewhere` and
    `elsewhere-failed` of resize_instance hold are steps of before (`steps_of` 1), which are kept."""
    server = await r.active(image_id="0b3e3a2e-0000-4000-8000-000000000008")
    failed = await r.act(server, ELSEWHERE, fail_before="end_action")
    await r.keep(failed, "resize_instance", "carried-failed")
    nowhere = await r.act(server, ELSEWHERE, fail_after="arrive", kind="HostCannot")
    await r.keep(nowhere, "resize_instance", "carried-nowhere")
    await r.keep(await r.act(server, ELSEWHERE), "resize_instance", "carried")
    await r.keep(await r.act(server, "revertResize"), "revert_resize", "elsewhere")
    await r.cloud.end(await r.act(server, ELSEWHERE))
    await r.keep(await r.act(server, "confirmResize"), "confirm_resize", "elsewhere")
    await r.cloud.delete(server)


@case
async def asked_before(r: Recorder) -> None:
    """What ends a guest, or the rescue's, once it was asked whether the server has its volumes still. Without that,
    recorded by `steps_of` 2 and kept: resizes `carried`, ways back `elsewhere`, and what else ends so."""
    server = await r.active(image_id="0b3e3a2e-0000-4000-8000-000000000008")
    await r.keep(await r.act(server, ELSEWHERE), "resize_instance", "asked")
    await r.keep(await r.act(server, "revertResize"), "revert_resize", "asked")
    await r.cloud.end(await r.act(server, "rescue"))
    await r.keep(await r.act(server, "unrescue"), "unrescue_instance", "asked")
    await r.cloud.delete(server)


@case
async def in_one_step(r: Recorder) -> None:
    """A volume attached and detached, each by one step on the host."""
    server, volume = await r.active(image_id="", ports=[], volumes=[]), await r.volume()
    for name in ("attach_volume", "detach_volume"):
        acting = await r.act(server, name, volume)
        await r.keep(acting, name, "one-step")
    await r.cloud.delete(server)


@case
async def by_a_timer(r: Recorder) -> None:
    """A stop that begins by itself, one whose cause does not hold, one whose timer is cancelled."""
    server = await r.active(image_id="", ports=[], volumes=[])
    starter = Starter(r.cloud.client)
    for end, of in {"begun": "", "over": "another", "cancelled": "a third"}.items():
        due = stop_due(r.cloud, server, of, after_s=3600 if end == "cancelled" else 0)
        await starter.set_timer(due)
        timer = await r.started(timer_id(due))
        if end == "cancelled":
            await timer.cancel()
        await r.keep(timer, "begin_later", end)
    await r.cloud.client.get_workflow_handle(timer_id(stop_due(r.cloud, server))).cancel()
    await r.cloud.delete(server)


@case
async def reconciled(r: Recorder) -> None:
    for end, faults in {
        "good": {},
        "failed": {"fail_before": "audit_cloud"},
        "cancelled": {"hold": "audit_cloud"},
    }.items():
        id = f"reconcile-{end}"
        r.faults.of[id] = Faults(**faults)
        await r.cloud.client.start_workflow(
            ReconcileCloud.run, AuditRequest(repair=False), id=id, task_queue=CONTROL_QUEUE
        )
        run = await r.started(id)
        if "hold" in faults:
            held = await r.held(run)
            await run.cancel()
            held.release.set()
        await r.keep(run, RECONCILE, end)


@case
async def followed(r: Recorder) -> None:
    for end, faults in {
        "good": {},
        "failed": {"fail_before": "follow_ports"},
        "cancelled": {"hold": "follow_ports"},
    }.items():
        id = f"follow-{end}"
        r.faults.of[id] = Faults(**faults)
        await r.cloud.client.start_workflow(FollowServices.run, id=id, task_queue=CONTROL_QUEUE)
        run = await r.started(id)
        if "hold" in faults:
            held = await r.held(run)
            await run.cancel()
            held.release.set()
        await r.keep(run, FOLLOW, end)


@case
async def repaired(r: Recorder) -> None:
    """Repairs of what hangs on servers that their records say are gone; without an audit, which would find it too."""
    for end, faults in {
        "good": {},
        "nothing": {},
        "unmended": {"fail_before": "forget"},
        "failed": {"fail_before": "inspect_instance"},
        "cancelled": {"hold": "inspect_instance"},
        "deleted": {"hold": "inspect_instance"},
        "abandoned": {},
    }.items():
        lost = {"vm_state": "building", "deleted_at": None, "launched_at": None}
        gone = planted.record(r.cloud, **(lost if end == "abandoned" else {}))
        if end != "nothing":
            planted.claim(r.cloud, gone, "node1")
        handle: Handle = r.cloud.client.get_workflow_handle(server_workflow_id(gone))
        r.arm(handle, **faults)
        repair = asyncio.create_task(r.cloud.audit._operations.repair(RepairRequest(instance_id=gone)))
        run = await r.started(handle.id)
        if "hold" in faults:
            held = await r.held(run)
            await (r.cloud.delete(run) if end == "deleted" else run.cancel())
            held.release.set()
        await r.keep(run, REPAIR, end)
        await repair
        r.cloud.claims.release(gone)


async def leaking(r: Recorder) -> None:
    """A claim of a deleted server, found and mended. Alone: every other audit would find it too."""
    planted.claim(r.cloud, planted.record(r.cloud), "node1")
    await r.cloud.client.start_workflow(
        ReconcileCloud.run, AuditRequest(repair=True), id="reconcile-leak", task_queue=CONTROL_QUEUE
    )
    await r.keep(await r.started("reconcile-leak"), RECONCILE, "leak-repaired")


async def hosts_gone(r: Recorder) -> None:
    """Alone and last: the silence of a host touches every operation on it."""
    standing = await r.active(forced_host=None)
    claim = r.cloud.claim(standing)
    assert claim is not None
    building = await r.boot(r.cloud.request(requested_host=None), hold="spawn")
    faults = await r.held(building)
    lost = r.cloud.claim(building)
    assert lost is not None
    r.silence(lost.host, True)
    await asyncio.sleep(21)
    faults.release.set()
    await r.keep(building, BOOT, "host-gone")
    r.silence(lost.host, False)
    r.silence(claim.host, True)
    r.arm(standing, hold="destroy")
    deleting = await r.deleting(standing)
    faults = await r.held(standing)
    await asyncio.sleep(16)
    faults.release.set()
    await r.keep(deleting, DELETE, "host-gone")
    r.silence(claim.host, False)


async def record(into: Path, only: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        openstack = OpenStack(Path(scratch) / "openstack")
        services = Services(openstack, Path(scratch) / "cloud")
        try:
            openstack.start("identity", "image")
            services.start()
            cloud = Cloud(services.settings, await connect(services.settings))
            await asyncio.to_thread(cloud.prepare)
            recorder = Recorder(cloud, into)
            async with cloud.workers():
                cases = CASES | {f"acted-{name}": partial(acted, name=name) for name in ACTIONS}
                chosen = [run for name, run in cases.items() if not only or name in only]
                few = asyncio.Semaphore(AT_ONCE)

                async def in_turn(run: Case) -> None:
                    async with few:
                        await run(recorder)

                await asyncio.gather(*(in_turn(run) for run in chosen))
                for alone in (leaking, hosts_gone):
                    if not only or alone.__name__ in only:
                        await alone(recorder)
        finally:
            services.stop()
            openstack.stop()


def main() -> None:
    HISTORIES.mkdir(exist_ok=True)
    logs.setup("record", "ERROR")
    begun = time.monotonic()
    asyncio.run(record(HISTORIES, sys.argv[1:]))
    print(f"{len(list(HISTORIES.glob('*.json')))} histories in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
