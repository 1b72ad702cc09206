"""Looks for what hosts, services and records disagree about, twice; repairs run under each server's workflow id."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.auditing.compare import RULES, Tally, agreed, by_host, compare, keys, repairable
from activities.auditing.plan import plan
from activities.looking import Looker
from activities.step import Where, record_step, step
from infra import logs
from infra.contracts.audit import AuditReport, AuditRequest, Finding, RepairPlan, RepairRequest

if TYPE_CHECKING:
    from infra.auditing.operations import ServerOperations
    from infra.stores.audited import AuditedRecords

SECOND_LOOK_S = 2.0
SHOWN = 100
"""Findings in a report: it must fit into a payload. The log has the others, up to KEPT."""
KEPT = 5000
AT_ONCE = 8
BEAT_S = 5.0
log = logs.get(__name__)


class Audit:
    def __init__(self, looker: Looker, operations: "ServerOperations", records: "AuditedRecords") -> None:
        self._looker, self._operations, self._records = looker, operations, records

    @step(on=Where.CONTROL, budget=timedelta(hours=2), tries=0)
    async def audit_cloud(self, want: AuditRequest) -> AuditReport:
        """Compare everything; what counts is what a second look after a moment finds again, of servers without a
        running operation: their workflow answers for them.

        Idempotent. With `repair`, each server's findings are handed to a RepairInstance, which looks once more."""
        async with beating():
            report = await self.audit(repair=want.repair)
        leaks = activity.metric_meter().create_gauge("kilonova_leaks", "Leaks found by the last audit, by kind")
        for kind in RULES:
            leaks.set(report.counts.get(kind, 0) - report.repaired.get(kind, 0), {"kind": kind})
        return report

    async def audit(self, *, repair: bool) -> AuditReport:
        world = await self._looker.look()
        suspicions = keys(compare(world))
        if suspicions:
            await asyncio.sleep(SECOND_LOOK_S)
            world = await self._looker.look()
        tally = Tally(KEPT)
        running: dict[str, bool] = {"": False}
        for finding in agreed(suspicions, compare(world)):
            if finding.instance_id not in running:
                running[finding.instance_id] = await self._operations.runs(finding.instance_id)
            if not running[finding.instance_id]:
                tally.add(finding)
        for finding in tally.kept:
            log.warning("leak", **finding.model_dump())
        if repair:
            await self._repair(tally.kept)
        return AuditReport(
            counts=dict(tally.counts),
            repaired=dict(Counter(finding.kind for finding in tally.kept if finding.repaired)),
            findings=tally.kept[:SHOWN],
            unreachable=world.unreachable,
            instances=len(world.live),
        )

    @step(on=Where.CONTROL, budget=timedelta(minutes=5), tries=0)
    async def inspect_instance(self, want: RepairRequest) -> RepairPlan:
        """Look again at one server, for a repair that has its workflow id. Reads only."""
        async with beating():
            world = await self._looker.look(want)
        server = world.servers.get(want.instance_id)
        return plan(server, [f for f in compare(world) if repairable(f)]) if server else RepairPlan()

    @record_step
    def forget(self, finding: Finding) -> None:
        """Remove the claim or the console tokens of a server whose record says, in the same transaction, that it is
        gone; or (`stuck`) have the record of one that ran say what it says of it without the operation that is lost.
        Absent is success, and so is a server of which that is not so (any more)."""
        self._records.forget(finding)

    async def _repair(self, findings: list[Finding]) -> None:
        by_server: dict[str, list[Finding]] = {}
        for finding in findings:
            if repairable(finding) and finding.instance_id:
                by_server.setdefault(finding.instance_id, []).append(finding)
        gate = asyncio.Semaphore(AT_ONCE)
        await self._repair_networks([finding for finding in findings if by_host(finding) and repairable(finding)])

        async def mend(instance_id: str, some: list[Finding]) -> None:
            async with gate:
                done = await self._operations.repair(RepairRequest(instance_id=instance_id, findings=some))
            mended = {finding.key for finding in done.findings if finding.repaired}
            for finding in some:
                finding.repaired = finding.key in mended

        await asyncio.gather(*(mend(id, some) for id, some in by_server.items()))

    async def _repair_networks(self, findings: list[Finding]) -> None:
        """Each host looks after its own network. What a look afterwards does not find any more is mended."""
        hosts = sorted({finding.host for finding in findings})
        if not hosts:
            return
        await asyncio.gather(*(self._operations.sync_network(host) for host in hosts))
        world = await self._looker.look_at_networks(hosts)
        left = keys(compare(world))
        for finding in findings:
            finding.repaired = finding.host in world.hosts and hash(finding.key) not in left


@asynccontextmanager
async def beating() -> AsyncIterator[None]:
    """Heartbeats while the block runs, however long the service takes that it waits for."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(BEAT_S)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
