"""`kilonova leaks`: what the hosts, the services and the records disagree about. 0 is the expected answer."""

import asyncio
import uuid

import typer
from rich.console import Console
from rich.table import Table

console = Console()


def leaks(
    repair: bool = typer.Option(False, "--repair", help="Mend what is safe: undo what no server answers for."),
    as_json: bool = typer.Option(False, "--json", help="Print the report as JSON."),
) -> None:
    """Count and print every leak; exit status 0 when there is none (left)."""
    from infra.contracts.audit import AuditReport

    report: AuditReport = asyncio.run(_audit(repair))
    if as_json:
        print(report.model_dump_json())
        raise typer.Exit(1 if report.findings or report.unreachable else 0)
    table = Table("kind", "server", "host", "what", "repaired")
    for finding in report.findings:
        table.add_row(
            finding.kind, finding.instance_id, finding.host, finding.what, "yes" if finding.repaired else "no"
        )
    if report.findings:
        console.print(table)
    for host in report.unreachable:
        console.print(f"[yellow]{host} did not answer: nothing is known about it[/yellow]")
    left = sum(not finding.repaired for finding in report.findings)
    console.print(f"{len(report.findings)} leaks, {len(report.findings) - left} repaired, {report.instances} servers")
    raise typer.Exit(1 if left or report.unreachable else 0)


async def _audit(repair: bool):  # type: ignore[no-untyped-def]
    from infra.contracts.audit import AuditRequest
    from infra.settings import settings
    from infra.temporal import CONTROL_QUEUE, connect
    from workflows.reconcile_cloud import ReconcileCloud

    client = await connect(settings())
    return await client.execute_workflow(
        ReconcileCloud.run,
        AuditRequest(repair=repair),
        id=f"audit-{uuid.uuid4()}",
        task_queue=CONTROL_QUEUE,
        static_summary="leaks" + (" --repair" if repair else ""),
    )
