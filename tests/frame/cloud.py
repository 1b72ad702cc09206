"""The cloud of the frame's tests: one Temporal server, the real records and workflows, and a world that is made up."""

import uuid
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import update
from sqlmodel import col, select
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError
from temporalio.worker import Worker, WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner

from activities.identity import Identity
from activities.instance import Instance as InstanceSteps
from activities.later import Later
from activities.placement import Placement
from activities.resize import Resize
from activities.scheduling.scheduler import Scheduler
from activities.step import Where
from infra.codec import KeyRing
from infra.contracts.abilities import OF_THIS_RELEASE
from infra.contracts.requests import Requester
from infra.database import Database
from infra.identity import TokenInvalid
from infra.settings import Settings
from infra.starting import Starter
from infra.stores.causes import Causes
from infra.stores.claims import Claims
from infra.stores.instances import Records
from infra.stores.resizes import Resizes
from infra.stores.transitions import Transitions
from infra.tables.compute import Allocation, ComputeNode, Flavor, Instance, Service, now
from infra.temporal import CONTROL_QUEUE, compute_queue, server_workflow_id
from tests.frame.copies import Copies
from tests.frame.world import World, activities_on
from tests.workflows.servers import HOSTS, Servers, instance_of
from workers.build import build_id
from workers.collect import activities_of
from workers.control import WORKFLOWS
from workers.interceptors import StepInterceptor
from workers.sandbox import runner


class Tokens:
    """Identity, as far as a step asks it."""

    def __init__(self, good: str, project_id: str) -> None:
        self.good, self.project_id = good, project_id

    def validate_now(self, token: str) -> "Tokens":
        if token != self.good:
            raise TokenInvalid
        return self


class AsTheCloudSays(WorkflowRunner):
    """Strict, so that workflow code that uses a clock or chance is seen, unless the cloud says otherwise."""

    def __init__(self, cloud: "FrameCloud") -> None:
        self._cloud, self._strict, self._plain = cloud, runner(strict=True), runner()

    def prepare_workflow(self, defn: Any) -> None:
        self._strict.prepare_workflow(defn)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return (self._strict if self._cloud.strict else self._plain).create_instance(det)


class FrameCloud(Servers):
    """See `tests.workflows.cloud.Servers`; here `world` is all that there is beside the records."""

    strict = True

    def __init__(self, settings: Settings, client: Client) -> None:
        self.database = Database("compute", state_dir=settings.state_dir)
        self.database.migrate()
        super().__init__(settings, client, self.database)
        self.token, self.user, self.project = "good", "user", uuid.uuid4().hex
        self.network = str(uuid.uuid4())
        self.things = World(self.claims_of)
        self.claims = Claims(self.database, Scheduler(settings))
        self.ring = KeyRing.load(settings.codec_keys)
        self.copies = Copies(self.database, self.ring)
        self.went: set[str] = set()  # the likeness of each server that a delete has left nothing of

    def prepare(self) -> None:
        with self.database.write() as session:
            session.add(Flavor(id="tiny", name="tiny", ram=64, vcpus=1, disk=0))
            for number, host in enumerate(HOSTS):
                where: dict[str, Any] = {"binary": "nova-compute", "host": host, "zone": "nova", "last_seen": now()}
                session.add(Service(id=str(uuid.uuid4()), number=number, **where))
                capacity: dict[str, Any] = {"vcpus": 10_000, "memory_mb": 10**7, "disk_gb": 10**5}
                capacity["facts"] = {"abilities": sorted(OF_THIS_RELEASE)}
                session.add(ComputeNode(host=host, id=str(uuid.uuid4()), number=number, **capacity))

    def control(self) -> list[Any]:
        ring = KeyRing.load(self.settings.codec_keys)
        steps = activities_of(
            Identity(Tokens(self.token, self.project)),  # type: ignore[arg-type]
            InstanceSteps(Records(self.database, ring), Transitions(self.database, ring)),
            Later(Starter(self.client), Causes(self.database)),
            Placement(self.claims),
            Resize(Resizes(self.database, self.claims)),
        )
        return steps + activities_on(self.things, "", Where.CONTROL)

    @asynccontextmanager
    async def beside(self, queue: str) -> AsyncIterator[None]:
        """Another control worker, on a queue of its own, whose workflow code a test can change while it runs."""
        with ThreadPoolExecutor(8) as pool:
            async with Worker(
                self.client,
                task_queue=queue,
                build_id=build_id(),
                workflows=WORKFLOWS,
                activities=self.control(),
                activity_executor=pool,
                interceptors=[self.faults, StepInterceptor("")],
                workflow_runner=runner(),
            ):
                yield

    @asynccontextmanager
    async def workers(self, cached: int = 100, workflows: Sequence[type] = WORKFLOWS) -> AsyncIterator[None]:
        with ThreadPoolExecutor(32) as pool:
            common: dict[str, Any] = {"activity_executor": pool, "build_id": build_id()}
            control_worker = Worker(
                self.client,
                task_queue=CONTROL_QUEUE,
                workflows=workflows,
                activities=self.control(),
                max_cached_workflows=cached,
                interceptors=[self.faults, StepInterceptor("")],
                workflow_runner=AsTheCloudSays(self),
                **common,
            )
            hosts = [
                Worker(
                    self.client,
                    task_queue=compute_queue(name),
                    activities=activities_on(self.things, name, Where.HOST),
                    interceptors=[self.faults, StepInterceptor(name)],
                    **common,
                )
                for name in HOSTS
            ]
            async with control_worker, hosts[0], hosts[1]:
                yield

    def copied(self, before: tuple[str, ...]) -> WorkflowHandle[Any, Any] | None:
        id = self.copies.another(self.things, before)
        if id is None:
            return None
        self.faults.arm()
        self._is_mine(id)
        return self.client.get_workflow_handle(server_workflow_id(id))

    def keep(self, before: tuple[str, ...], handle: WorkflowHandle[Any, Any]) -> None:
        self.copies.keep(self.things, before, instance_of(handle))

    async def drop(self, handle: WorkflowHandle[Any, Any]) -> None:
        """Delete a server that rests. Nothing is left of it then."""
        assert await self._goes(handle)

    async def take_away(self, handle: WorkflowHandle[Any, Any]) -> None:
        try:
            runs = (await handle.describe()).status == WorkflowExecutionStatus.RUNNING
        except RPCError:  # a copy, to which nothing was done
            runs = False
        await (super().take_away(handle) if runs else self._goes(handle))

    async def _goes(self, handle: WorkflowHandle[Any, Any]) -> bool:
        """Whether nothing is left of a server that is deleted. Was that seen of one like it, it is only taken away."""
        id = instance_of(handle)
        like = self.copies.likeness(self.things, id)
        if like in self.went:
            self.copies.erase(self.things, id)
            return True
        await self.delete(handle)
        if await self.end(handle) is not None or self.of(id):
            return False
        self.went.add(like)
        return True

    def silence(self, *hosts: str) -> None:
        """These hosts do not report any more; all others do."""
        with self.database.write() as session:
            for host in HOSTS:
                seen = now().replace(year=2020) if host in hosts else now().replace(year=2099)
                session.execute(update(Service).where(col(Service.host) == host).values(last_seen=seen))

    def claims_of(self, instance_id: str) -> dict[str, int]:
        with self.database.read() as session:
            held = session.exec(select(Allocation).where(col(Allocation.instance_id) == instance_id)).all()
            return {claim.host: claim.attempt for claim in held}

    async def leaks(self) -> list[tuple[str, ...]]:
        """What no server answers for: things of the world, claims, and states that no workflow will end."""
        with self.database.read() as session:
            servers = session.exec(select(Instance).where(col(Instance.deleted_at).is_(None))).all()
            claims = session.exec(select(Allocation)).all()
        keeps = {s.id for s in servers if s.vm_state != "error" or s.launched_at}
        found = self.things.leaks(keeps, {(claim.instance_id, claim.host) for claim in claims})
        found += [("", "claim", claim.instance_id, claim.host) for claim in claims if claim.instance_id not in keeps]
        resized = {s.id for s in servers if s.vm_state == "resized"}
        found += [
            ("", "migration", c.instance_id, c.host)
            for c in claims
            if (c.kind == "migration") > (c.instance_id in resized)
        ]
        found += [("", "stuck", s.id, str(s.task_state)) for s in servers if s.task_state]
        return found if self.faults is self.injected else [each for each in found if self.booted(each[2])]

    def forget(self, host: str, handle: WorkflowHandle[Any, Any]) -> None:
        """What a host does with what is left of a server when it is back."""
        with self.things.guard:
            self.things.here[host] -= {thing for thing in self.things.here[host] if thing[1] == instance_of(handle)}

    def of(self, instance_id: str) -> list[tuple[str, ...]]:
        """What there is of one server."""
        return [thing for thing in self.things.things() if thing[2] == instance_id]

    def requester(self) -> Requester:
        return Requester(token=self.token, user_id=self.user, project_id=self.project, request_id=f"req-{uuid.uuid4()}")
