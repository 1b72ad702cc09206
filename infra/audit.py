"""The comparison behind `kilonova leaks`: records against claims, hosts, ports, attachments and workflows."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from keystoneauth1.exceptions import EndpointNotFound
from keystoneauth1.session import Session
from sqlmodel import col, select
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError

from infra import logs
from infra.contracts.audit import AuditReport, Finding
from infra.contracts.hypervisor import HostFacts, HostRef, InstanceRef
from infra.contracts.requests import DeleteRequest, Fault, Requester
from infra.contracts.volume import GOES_WITH_IT, MADE_FOR
from infra.database import Database
from infra.openstack import NETWORK, VOLUME, found_as
from infra.tables.compute import Allocation, ConsoleToken, Instance, now
from infra.temporal import CONTROL_QUEUE, compute_queue, server_workflow_id

SECOND_LOOK_S = 2.0
log = logs.get(__name__)


@dataclass
class World:
    """One look at everything. Ids of servers throughout; `hosts` by host name."""

    live: dict[str, Instance] = field(default_factory=dict)  # not deleted
    claims: dict[str, Allocation] = field(default_factory=dict)
    hosts: dict[str, HostFacts] = field(default_factory=dict)
    ports: dict[str, str] = field(default_factory=dict)  # port id -> server id
    attachments: dict[str, str] = field(default_factory=dict)  # attachment id -> server id
    volumes: dict[str, str] = field(default_factory=dict)  # id of a volume to go with its server -> server id
    consoles: set[str] = field(default_factory=set)  # server ids with a console token
    unreachable: list[str] = field(default_factory=list)


class Auditor:
    KINDS: ClassVar[tuple[str, ...]] = (
        "stuck", "lost", "doubled", "allocation", "domain", "disk", "host_port", "port", "attachment", "volume",
        "console_token",
    )  # fmt: skip

    def __init__(
        self, client: Client, database: Database, session: Session, region: str, up_hosts: Callable[[], list[str]]
    ) -> None:
        self._client, self._db, self._session, self._region = client, database, session, region
        self._up_hosts = up_hosts

    async def audit(self, *, repair: bool, heartbeat: Callable[..., None]) -> AuditReport:
        first = _compare(await self._look())
        heartbeat("looked once")
        world = None
        findings: list[Finding] = []
        if first:
            await asyncio.sleep(SECOND_LOOK_S)
            world = await self._look()
            again = {(f.kind, f.instance_id, f.host, f.what) for f in _compare(world)}
            for finding in first:
                same = (finding.kind, finding.instance_id, finding.host, finding.what) in again
                if same and not await self._has_operation(finding.instance_id):
                    findings.append(finding)
        heartbeat("looked twice")
        world = world or await self._look()
        if repair:
            for finding in findings:
                finding.repaired = await self._repair(finding, world)
                heartbeat(finding.instance_id)
        return AuditReport(findings=findings, unreachable=world.unreachable, instances=len(world.live))

    async def _look(self) -> World:
        world = await asyncio.to_thread(self._read_records)
        hosts = await asyncio.to_thread(self._up_hosts)
        for host, facts in zip(hosts, await asyncio.gather(*(self._ask(host) for host in hosts)), strict=True):
            if facts is None:
                world.unreachable.append(host)
            else:
                world.hosts[host] = facts
        await asyncio.to_thread(self._read_services, world)
        # Records last once more: what was made after the first reading must not look like a leak.
        later = await asyncio.to_thread(self._read_records)
        world.live |= later.live
        world.claims |= later.claims
        return world

    def _read_records(self) -> World:
        with self._db.read() as session:
            live = session.exec(select(Instance).where(col(Instance.deleted_at).is_(None))).all()
            claims = session.exec(select(Allocation)).all()
            tokens = session.exec(select(ConsoleToken.instance_id).where(ConsoleToken.expires_at > now())).all()
        return World({i.id: i for i in live}, {c.instance_id: c for c in claims}, consoles=set(tokens))

    def _read_services(self, world: World) -> None:
        ports = self._get(NETWORK, "/v2.0/ports?fields=id&fields=device_id&fields=device_owner").get("ports", [])
        world.ports = {p["id"]: p["device_id"] for p in ports if p["device_owner"].startswith("compute:")}
        with contextlib.suppress(EndpointNotFound):  # a cloud may have no volume service
            self._read_volumes(world)

    def _read_volumes(self, world: World) -> None:
        found = self._pages("/attachments", "attachments")
        world.attachments = {a["id"]: a.get("instance") or a.get("instance_uuid") or "" for a in found}
        made = [
            v for v in self._pages("/volumes/detail", "volumes") if MADE_FOR in v["metadata"] and not v["attachments"]
        ]
        launched = self._were_launched({volume["metadata"][MADE_FOR] for volume in made})
        world.volumes = {
            volume["id"]: volume["metadata"][MADE_FOR]
            for volume in made
            if volume["metadata"].get(GOES_WITH_IT) == "True" or volume["metadata"][MADE_FOR] not in launched
        }

    def _pages(self, path: str, kind: str) -> Iterator[dict[str, Any]]:
        """Everything of every project; the service gives at most so many at once."""
        page = [""]
        while page:
            marker = page[-1] and f"&marker={page[-1]}"
            found = self._get(VOLUME, f"{path}?all_tenants=1{marker}", microversion="3.44")[kind]
            yield from found
            page = [thing["id"] for thing in found]

    def _were_launched(self, ids: set[str]) -> set[str]:
        """Those whose build was good once: a volume that is to outlive its server belongs to the tenant since then."""
        with self._db.read() as session:
            wanted = select(Instance.id).where(col(Instance.id).in_(ids), col(Instance.launched_at).is_not(None))
            return set(session.exec(wanted).all())

    def _get(self, service: str, path: str, **kwargs: Any) -> dict[str, Any]:
        where = found_as(service, self._region)
        answer: dict[str, Any] = self._session.get(path, endpoint_filter=where, **kwargs).json()
        return answer

    async def _ask(self, host: str) -> HostFacts | None:
        try:
            facts: HostFacts = await self._on_host(host, "host_facts", HostRef(host=host), HostFacts, 20)
            return facts
        except (TemporalError, RPCError):
            return None

    async def _on_host(self, host: str, activity: str, arg: Any, result: type | None, seconds: float) -> Any:
        return await self._client.execute_activity(
            activity,
            arg,
            id=f"audit-{activity}-{host}-{getattr(arg, 'instance_id', '')}-{id(arg)}",
            task_queue=compute_queue(host),
            result_type=result,
            schedule_to_close_timeout=timedelta(seconds=seconds),
        )

    async def _has_operation(self, instance_id: str) -> bool:
        if not instance_id:
            return False
        try:
            description = await self._client.get_workflow_handle(server_workflow_id(instance_id)).describe()
        except RPCError:
            return False
        return description.status == WorkflowExecutionStatus.RUNNING

    async def _repair(self, finding: Finding, world: World) -> bool:
        """Undo what nobody answers for. `lost` and `doubled` need a human's eye and are left alone."""
        try:
            if finding.kind in ("domain", "disk", "host_port") and finding.host:
                ref = InstanceRef(
                    instance_id=finding.instance_id, port_ids=[finding.what] if "port" in finding.kind else []
                )
                await self._on_host(finding.host, "clean_up", ref, None, 60)
            elif finding.kind in ("allocation", "console_token"):
                await asyncio.to_thread(self._forget, finding)
            elif finding.kind == "port":
                await asyncio.to_thread(self._delete, NETWORK, f"/v2.0/ports/{finding.what}")
            elif finding.kind == "attachment":
                await asyncio.to_thread(self._delete, VOLUME, f"/attachments/{finding.what}", microversion="3.44")
            elif finding.kind == "volume":
                await asyncio.to_thread(self._delete, VOLUME, f"/volumes/{finding.what}", microversion="3.44")
            elif finding.kind == "stuck":
                await self._abandon(world.live[finding.instance_id])
            else:
                return False
        except Exception:
            log.warning("repair failed", kind=finding.kind, instance_id=finding.instance_id, exc_info=True)
            return False
        return True

    def _forget(self, finding: Finding) -> None:
        table = Allocation if finding.kind == "allocation" else ConsoleToken
        with self._db.write() as session:
            for row in session.exec(select(table).where(table.instance_id == finding.instance_id)).all():
                session.delete(row)

    def _delete(self, service: str, path: str, **kwargs: Any) -> None:
        where = found_as(service, self._region)
        answer = self._session.delete(path, endpoint_filter=where, raise_exc=False, **kwargs)
        if answer.status_code >= 400 and answer.status_code != 404:
            raise RuntimeError(f"{service} answered {answer.status_code}")

    async def _abandon(self, instance: Instance) -> None:
        """A server whose operation was lost (its workflow was terminated): undo it, and say so in its fault."""
        fault = Fault(message="The operation on this server was ended from outside; what it had made is undone.")
        requester = Requester(
            token="", user_id=instance.user_id, project_id=instance.project_id, request_id=instance.request_id
        )
        request = DeleteRequest(
            requester=requester, instance_id=instance.id, keep_as=None if instance.task_state == "deleting" else fault
        )
        await self._client.start_workflow(
            "DeleteInstance", request, id=server_workflow_id(instance.id), task_queue=CONTROL_QUEUE
        )


def _compare(world: World) -> list[Finding]:
    """Every disagreement of one look. A server with a task or in BUILD counts only as a possible `stuck`."""
    found: list[Finding] = []

    def add(kind: str, instance_id: str, host: str = "", what: str = "") -> None:
        found.append(Finding(kind=kind, instance_id=instance_id, host=host, what=what))

    on_hosts: dict[str, list[str]] = {}
    for host, facts in world.hosts.items():
        for instance_id in facts.domains:
            on_hosts.setdefault(instance_id, []).append(host)
            if _not_its_host(world, instance_id, host):
                add("domain", instance_id, host)
        for instance_id in facts.instance_dirs:
            if _not_its_host(world, instance_id, host):
                add("disk", instance_id, host)
        for port_id, instance_id in facts.ports.items():
            if _not_its_host(world, instance_id, host):
                add("host_port", instance_id, host, port_id)
    for instance_id, hosts in on_hosts.items():
        if len(hosts) > 1:
            add("doubled", instance_id, ",".join(sorted(hosts)))
    for instance_id, instance in world.live.items():
        if instance.vm_state == "building" or instance.task_state:
            add("stuck", instance_id, instance.host or "")
        elif _runs_nowhere(world, instance):
            add("lost", instance_id, instance.host or "")
    keeps = {i for i, instance in world.live.items() if instance.vm_state != "error" or instance.launched_at}
    for instance_id, claim in world.claims.items():
        if instance_id not in keeps:
            add("allocation", instance_id, claim.host)
    for kind, held in (("port", world.ports), ("attachment", world.attachments), ("volume", world.volumes)):
        for what, instance_id in held.items():
            if instance_id not in keeps:
                add(kind, instance_id, what=what)
    for instance_id in world.consoles - set(world.live):
        add("console_token", instance_id)
    return found


def _runs_nowhere(world: World, instance: Instance) -> bool:
    facts = world.hosts.get(instance.host or "")
    return instance.vm_state in ("active", "paused") and facts is not None and instance.id not in facts.domains


def _not_its_host(world: World, instance_id: str, host: str) -> bool:
    claim = world.claims.get(instance_id)
    return instance_id not in world.live or claim is None or claim.host != host
