"""`kilonova status`: each process with PID, age, restarts, memory and ports, and whether it answers."""

import json
from dataclasses import asdict, dataclass

from rich.table import Table

from infra.settings import Settings
from workers import confinement, procfs, supervisor
from workers.cli.screen import out
from workers.layout import Layout
from workers.plan import Plan, read_status
from workers.process import Process


@dataclass(frozen=True)
class Row:
    """Memory in MiB, age in seconds."""

    name: str
    state: str
    pid: int
    age_s: float
    restarts: int
    rss_mib: float
    pss_mib: float
    ports: dict[str, int]
    answers: bool


def rows(plan: Plan) -> list[Row]:
    """One row per planned process, seen as it is now, not as the supervisor wrote it last."""
    units = read_status(plan.state_dir).get("units", {})
    found = []
    for spec in plan.specs:
        unit = units.get(spec.name, {})
        process = Process.find(spec.name, plan.place)
        pid = process.pid if process else 0
        found.append(
            Row(
                name=spec.name,
                state=_state(unit.get("state", "stopped"), pid),
                pid=pid,
                age_s=round(procfs.age_s(pid), 1) if pid else 0.0,
                restarts=unit.get("restarts", 0),
                rss_mib=round(procfs.rss_kib(pid) / 1024, 1),
                pss_mib=round(procfs.pss_kib(pid) / 1024, 1),
                ports=spec.ports,
                answers=bool(pid) and spec.probe.passes(pid),
            )
        )
        if process:
            process.close()
    return found


def _state(written: str, pid: int) -> str:
    """What the supervisor wrote, unless it cannot be true of a process that is not there."""
    return "stopped" if not pid and written in ("ready", "starting") else written


def show(as_json: bool) -> int:
    """Exit status: 0 all is well, 1 something is not, 3 nothing runs."""
    settings = Settings()
    try:
        plan = Plan.load(settings.state_dir)
    except FileNotFoundError:
        plan = None
    pid = supervisor.running(settings.state_dir)
    if plan is None:
        out.print("The cloud is down.") if not as_json else print(json.dumps({"supervisor": 0, "processes": []}))
        return 3
    found = rows(plan)
    well = pid > 0 and all(row.state == "ready" and row.answers for row in found)
    if as_json:
        print(json.dumps({"well": well, "supervisor": pid, "processes": [asdict(row) for row in found]}, indent=1))
    else:
        print_table(plan, found)
        if pid <= 0:
            out.print("[red]No supervisor runs:[/] nothing is restarted. `kilonova up` starts one.")
    return 0 if well else 1


def print_table(plan: Plan, found: list[Row] | None = None) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("process", "state", "ports"):
        table.add_column(column)
    for column in ("pid", "age", "restarts", "RSS MiB", "PSS MiB"):
        table.add_column(column, justify="right")
    found = rows(plan) if found is None else found
    for row in found:
        colour = "green" if row.state == "ready" and row.answers else "red"
        state = row.state if row.answers or row.state != "ready" else "silent"
        ports = " ".join(f"{name}\N{NO-BREAK SPACE}{port}" for name, port in row.ports.items())
        cells = [str(row.pid or "-"), age(row.age_s), str(row.restarts), f"{row.rss_mib:.0f}", f"{row.pss_mib:.0f}"]
        table.add_row(row.name, f"[{colour}]{state}[/]", ports, *cells)
    pid = max(0, supervisor.running(plan.state_dir))
    own = procfs.pss_kib(pid) / 1024
    table.add_row(
        "supervisor", "", "", str(pid), age(procfs.age_s(pid)), "", f"{procfs.rss_kib(pid) / 1024:.0f}", f"{own:.0f}"
    )
    out.print(table)
    layout = Layout.load(plan.state_dir)
    if layout is not None and layout.driver == "qemu":
        out.print(f"[dim]AppArmor {confinement.told(Settings())}[/]")
    out.print(f"[dim]together {sum(row.pss_mib for row in found) + own:.0f} MiB PSS[/]")


def age(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes, hours = int(seconds) // 60, int(seconds) // 3600
    return f"{minutes}m" if hours == 0 else f"{hours}h{minutes % 60:02}m"
