"""Looks for what libvirt, the hosts, the services and the records disagree about, and mends what is safe."""

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.step import Where, step
from infra.contracts.audit import AuditReport, AuditRequest

if TYPE_CHECKING:
    from infra.audit import Auditor


class Audit:
    def __init__(self, auditor: "Auditor") -> None:
        self._auditor = auditor

    @step(on=Where.CONTROL, budget=timedelta(minutes=15), tries=0)
    async def audit_cloud(self, want: AuditRequest) -> AuditReport:
        """Compare everything once; a suspicion is looked at again after a moment before it counts.

        Idempotent. Servers with a running operation are never touched: their workflow answers for them."""
        report = await self._auditor.audit(repair=want.repair, heartbeat=activity.heartbeat)
        leaks = activity.metric_meter().create_gauge("kilonova_leaks", "Leaks found by the last audit, by kind")
        for kind in self._auditor.KINDS:
            leaks.set(sum(f.kind == kind for f in report.findings), {"kind": kind})
        return report
