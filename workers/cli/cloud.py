"""`kilonova up` and `down`: prepare, start the supervisor, wait; stop, tidy up, look whether anything is left."""

import os
import subprocess
import sys
import time
from pathlib import Path

from infra.settings import Settings
from workers import horizon, supervisor
from workers import layout as layouts
from workers.cli import prepare, tidy
from workers.cli.screen import out
from workers.layout import Driver, Extra, Layout
from workers.plan import Plan, read_status

SHOWN_LOG_LINES = 15
FAILED_STARTS = 4
LOCK_PATIENCE_S = 300.0


class NotReady(Exception):
    """What did not come up, in words."""


def need_root() -> bool:
    if os.geteuid() != 0:
        out.print("[red]This needs root: network namespaces, bridges and guests.[/] Use sudo.")
        return False
    return True


def keep_tls() -> None:
    """Have every later command find TLS switched on: in STATE/kilonova.toml."""
    settings = Settings()
    if settings.tls:
        return
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    file = settings.state_dir / "kilonova.toml"
    file.write_text("tls = true\n" + (file.read_text() if file.exists() else ""))


def make_directories(settings: Settings) -> None:
    """The person who typed `sudo` comes through the state directory to his sign-in files, but lists nothing."""
    for directory, mode in ((settings.state_dir, 0o711), (settings.run_dir, 0o700), (settings.log_dir, 0o700)):
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(mode)


def up(
    *,
    hosts: int | None,
    driver: Driver | None,
    image: bool,
    timeout_s: float,
    objects: bool = False,
    extra: Extra | None = None,
) -> int:
    """Exit status: 0 ready, 1 not ready, 2 refused."""
    if not need_root():
        return 2
    settings = Settings()
    make_directories(settings)
    begun = time.monotonic()
    with supervisor.held(settings.run_dir / "up.lock", patience_s=LOCK_PATIENCE_S):
        try:
            plan = _start(settings, layouts.decide(settings, hosts, driver, extra))
            wait_until_ready(plan, timeout_s)
        except (NotReady, prepare.Refused) as error:
            out.print(f"[red]The cloud is not up.[/] {error}")
            if supervisor.running(settings.state_dir):
                out.print("What runs goes on; `kilonova down` stops it.")
            return 1
        prepare.hand_over(settings)
    from workers.cli import status

    status.print_table(plan)
    out.print(f"[green]Ready[/] after {time.monotonic() - begun:.1f} s; state in {settings.state_dir}")
    if any(spec.name == "horizon" for spec in plan.specs):
        out.print(f"Horizon: {horizon.address(settings)}; its users are those of the openrc files.", soft_wrap=True)
    found = None
    if image:
        from workers.cli import guest_image

        found = guest_image.ensure(settings, Layout.load(settings.state_dir) or Layout())
    return first_objects(settings, objects, int(found.min_ram or 0) if found else 0)


def first_objects(settings: Settings, make: bool, min_ram_mb: int) -> int:
    """Make what a first server needs, or say what there is to do; exit status 1 when it could not be made."""
    from workers.cli.client import Client, ClientFailed
    from workers.cli.demo_objects import make_all

    if not make:
        out.print(
            "Next: [bold]./kilonova up --demo-objects[/] makes a flavor, a network, a key pair and rules to try with; "
            "[bold]./kilonova demo[/] boots a server with them. Or source "
            f"{settings.state_dir}/admin-openrc and make your own: a cloud begins without any.",
            soft_wrap=True,
        )
        return 0
    try:
        made = make_all(settings, Client(settings, "admin", out), Client(settings, "demo", out), min_ram_mb)
    except ClientFailed as error:
        out.print(f"[red]The objects could not be made:[/] {error}")
        return 1
    prepare.hand_over(settings)
    out.print(f"Flavor {made.flavor}, network {made.network_id}, the demo user's key pair and rules are there.")
    return 0


def _start(settings: Settings, layout: Layout) -> Plan:
    """The plan that runs: the present one of a running cloud, else a new one, prepared and handed to a supervisor."""
    if supervisor.running(settings.state_dir):
        plan = Plan.load(settings.state_dir)
        if layout != Layout.load(settings.state_dir) or prepare.differs(plan, settings, layout):
            out.print("[yellow]The cloud runs with other settings; `down` and `up` apply the new ones.[/]")
        return plan
    plan = prepare.everything(settings, layout)
    start_supervisor(settings)
    return plan


def start_supervisor(settings: Settings) -> None:
    """Start the daemon and wait until it holds the state directory; NotReady when it does not get there."""
    (settings.run_dir / "status.json").unlink(missing_ok=True)
    log = os.open(settings.log_dir / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.supervisor", str(settings.state_dir)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )
    finally:
        os.close(log)
    end = time.monotonic() + 15
    while not read_status(settings.state_dir):
        if process.poll() is not None or time.monotonic() > end:
            raise NotReady(f"The supervisor did not start:\n{tail(settings.log_dir / 'supervisor.log')}")
        time.sleep(0.02)


def wait_until_ready(plan: Plan, timeout_s: float) -> None:
    """Return once every process is ready, which of a host's worker means that the host has reported. NotReady with the
    log's last lines for one that keeps dying or is late."""
    end = time.monotonic() + timeout_s
    told: set[str] = set()
    while True:
        units = read_status(plan.state_dir).get("units", {})
        late = [spec.name for spec in plan.specs if units.get(spec.name, {}).get("state") != "ready"]
        for spec in plan.specs:
            if spec.name not in late and spec.name not in told:
                told.add(spec.name)
                if out.is_terminal:
                    out.print(f"[dim]{spec.name} ready[/]")
        if not late:
            return
        dying = [name for name in late if units.get(name, {}).get("restarts", 0) >= FAILED_STARTS]
        if dying or time.monotonic() > end:
            raise NotReady(why_not(plan, dying or late))
        time.sleep(0.03)


def why_not(plan: Plan, names: list[str]) -> str:
    lacks = {spec.name: f" ({spec.probe.lacks})" for spec in plan.specs if spec.probe.lacks}
    parts = [f"Not ready: {', '.join(name + lacks.get(name, '') for name in names)}."]
    for name in names[:3]:
        file = plan.place.log_file(name)
        parts.append(f"\nLast lines of {file}:\n{tail(file)}")
    return "\n".join(parts).replace("[", r"\[")


def tail(file: Path, lines: int = SHOWN_LOG_LINES) -> str:
    try:
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - 16384))
            return "\n".join(log.read().decode("utf-8", "replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"


def down() -> int:
    """Exit status: 0 nothing is left, 1 something is, 2 refused."""
    if not need_root():
        return 2
    settings = Settings()
    if not settings.run_dir.is_dir():
        out.print("Nothing was started here.")
        return 0
    with supervisor.held(settings.run_dir / "up.lock", patience_s=LOCK_PATIENCE_S):
        begun = time.monotonic()
        tidy.stop_processes(settings)
        left = tidy.remove_host_state(settings)
    for what in left:
        out.print(f"[red]left behind:[/] {what}")
    if not left:
        out.print(f"[green]Down[/] after {time.monotonic() - begun:.1f} s. Data stays in {settings.state_dir}.")
    return 1 if left else 0


def supervise() -> int:
    """Be the supervisor, after preparing the cloud as `up` does."""
    if not need_root():
        return 2
    settings = Settings()
    make_directories(settings)
    with supervisor.held(settings.run_dir / "up.lock", patience_s=LOCK_PATIENCE_S):
        try:
            prepare.everything(settings, layouts.decide(settings, None, None))
        except prepare.Refused as error:
            out.print(f"[red]{error}[/]")
            return 1
    return supervisor.main(settings.state_dir)
