"""Every few minutes, and for `kilonova leaks`: compare the records with the world, mend what is safe."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.audit import Audit
    from infra.contracts.audit import AuditReport, AuditRequest


@workflow.defn
class ReconcileCloud:
    @workflow.run
    async def run(self, want: AuditRequest) -> AuditReport:
        report = await workflow.execute_activity_method(
            Audit.audit_cloud,
            want,
            start_to_close_timeout=timedelta(hours=2),
            heartbeat_timeout=timedelta(seconds=60),
            retry_policy=RetryPolicy(maximum_attempts=3),
            summary="compare records, hosts and services",
        )
        counts = ", ".join(f"{kind}: {number}" for kind, number in sorted(report.counts.items()))
        lines = [f"- {f.kind} {f.instance_id} {f.host} {f.what}" for f in report.findings]
        workflow.set_current_details(f"{report.total} findings {counts}\n" + "\n".join(lines))
        return report
