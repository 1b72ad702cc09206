"""`kilonova leaks`: what the hosts, the services and the records disagree about. 0 is the expected answer."""

import asyncio
import uuid
from datetime import timedelta

from rich.console import Console
from rich.table import Table

from workers.cli.asking import plainly

console = Console()
PATIENCE = timedelta(minutes=30)
"""Somebody waits for the answer: no control worker within this time is an answer, too."""


def leaks(repair: bool, as_json: bool) -> int:
    """Print every leak and their number; the exit status, 0 when none is left and every host answered."""
    from infra.contracts.audit import AuditReport

    with plainly():
        report: AuditReport = asyncio.run(_audit(repair))
    if as_json:
        print(report.model_dump_json())
        return 1 if report.left or report.unreachable else 0
    table = Table("kind", "server", "host", "what", "repaired", "proof")
    for f in report.findings:
        table.add_row(
            f.kind, f.instance_id, f.host, f"{f.what} {f.problem}".strip(), "yes" if f.repaired else "no", f.proof
        )
    if report.findings:
        console.print(table)
    if report.total > len(report.findings):
        counted = ", ".join(f"{number} {kind}" for kind, number in sorted(report.counts.items()))
        console.print(f"These are the first {len(report.findings)}; the control worker's log has more. All: {counted}")
    for host in report.unreachable:
        console.print(f"[yellow]{host} did not answer: nothing is known about it[/yellow]")
    console.print(f"{report.total} leaks, {report.total - report.left} repaired, {report.instances} servers")
    return 1 if report.left or report.unreachable else 0


async def _audit(repair: bool):  # type: ignore[no-untyped-def]
    from infra.contracts.audit import AuditRequest
    from infra.settings import settings
    from infra.temporal import CONTROL_QUEUE, connect
    from workflows.reconcile_cloud import ReconcileCloud

    client = await connect(settings(), patience_s=5)
    return await client.execute_workflow(
        ReconcileCloud.run,
        AuditRequest(repair=repair),
        id=f"audit-{uuid.uuid4()}",
        task_queue=CONTROL_QUEUE,
        execution_timeout=PATIENCE,
        static_summary="leaks" + (" --repair" if repair else ""),
    )
