"""`kilonova demo`: the whole cloud, the seeds' server booted by the `openstack` client, a login, what it took."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from infra.settings import Settings
from workers.cli import cloud, guest_image, prepare, shell
from workers.cli.client import Client, ClientFailed
from workers.cli.demo_objects import KEY_NAME, make_all
from workers.cli.screen import out
from workers.cli.steps import Step, StepWatch
from workers.layout import Layout, checkout
from workers.probes import http_get
from workers.processes import temporal_inside, temporal_ui

SERVER = "demo-instance"
BUILD_S, LOGIN_S = 300.0, 240.0


class DemoFailed(Exception):
    """Which part of the demonstration did not work, and why."""


@dataclass(frozen=True)
class Booted:
    """The server's id, address, steps, and seconds from the request to ACTIVE and to the login."""

    server_id: str
    address: str
    steps: list[Step]
    active_s: float
    login_s: float


def run() -> int:
    """Exit status: 0 when somebody logged into the server, else 1."""
    code = cloud.up(hosts=None, driver=None, image=False, timeout_s=120)
    if code:
        return code
    settings = Settings()
    layout = Layout.load(settings.state_dir) or Layout()
    if layout.driver != "qemu":
        out.print("[red]This cloud runs libvirt's test driver: nobody can log into its guests.[/]")
        return 1
    try:
        image = guest_image.ensure(settings, layout)
        if image is None:
            raise DemoFailed("no guest image")
        admin, demo = Client(settings, "admin", out), Client(settings, "demo", out)
        objects = make_all(settings, admin, demo, int(image.min_ram or 0))
        prepare.hand_over(settings)
        remove_earlier(demo)
        booted = boot(settings, (admin, demo), image.name, objects.flavor, objects.network_id)
        console_url = demo("console", "url", "show", SERVER).get("url", "")
    except (DemoFailed, ClientFailed) as error:
        out.print(f"[red]The demonstration failed:[/] {escape(str(error))}")
        return 1
    conclude(settings, booted, console_url)
    return 0


def remove_earlier(demo: Client) -> None:
    """Delete servers of an earlier run, so that this one shows a build."""
    for server in demo.sdk.compute.servers(name=f"^{SERVER}$"):
        demo("server", "delete", "--wait", server.id)


def boot(settings: Settings, users: tuple[Client, Client], image: str, flavor: str, network_id: str) -> Booted:
    """Boot as demo, watch as admin, log in. DemoFailed with the server's fault, or when it takes too long."""
    admin, demo = users
    made = demo(
        "server", "create", "--flavor", flavor, "--image", image, "--nic", f"net-id={network_id}",
        "--security-group", "default", "--key-name", KEY_NAME, SERVER,
    )  # fmt: skip
    begun = time.monotonic()
    watch = StepWatch(admin, str(made["id"]), out)
    server = watch.until_built(BUILD_S)
    active_s = time.monotonic() - begun
    if server["status"] != "ACTIVE":
        fault = server.get("fault", {}).get("message", "it is still building")
        raise DemoFailed(f"the server is {server['status']}: {fault}")
    address = next(fixed["addr"] for nets in server["addresses"].values() for fixed in nets)
    out.print(f"[green]ACTIVE[/] after {active_s:.1f} s, address {address}; waiting for its SSH server")
    words = log_in(settings, address)
    login_s = time.monotonic() - begun
    out.print(f"[bold]$[/] ssh cirros@{address} 'hostname; uptime'\n{escape(words)}")
    return Booted(str(made["id"]), address, watch.steps, active_s, login_s)


def ssh_command(settings: Settings, address: str) -> list[str]:
    key = settings.state_dir / "demo_key"
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
    flags = [part for option in (*options, "ConnectTimeout=5", "BatchMode=yes") for part in ("-o", option)]
    return ["ssh", "-i", str(key), *flags, f"cirros@{address}"]


def log_in(settings: Settings, address: str) -> str:
    """What `hostname; uptime` print in the guest; DemoFailed after LOGIN_S."""
    command = shell.inside(settings, [*ssh_command(settings, address), "hostname; uptime"])
    end = time.monotonic() + LOGIN_S
    while True:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
        if time.monotonic() > end:
            raise DemoFailed(f"no login within {LOGIN_S:.0f} s: {done.stderr.strip()[-300:]}")
        time.sleep(1)


def workflow_url(settings: Settings, server_id: str) -> str:
    """The Web UI's page of the server's newest workflow."""
    path = f"/namespaces/{settings.temporal_namespace}/workflows/server-{server_id}"
    ui = temporal_ui(settings)
    try:
        _, answer = http_get(f"{temporal_inside(settings)}/api/v1{path}", netns=settings.temporal_place)
        info: dict[str, Any] = json.loads(answer.partition("\r\n\r\n")[2])["workflowExecutionInfo"]
        return f"{ui}{path}/{info['execution']['runId']}/history"
    except (OSError, ValueError, KeyError):
        return f"{ui}{path}"


def conclude(settings: Settings, booted: Booted, console_url: str) -> None:
    """How long each step took, and where to go on."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("build step")
    table.add_column("host")
    table.add_column("seconds", justify="right")
    for step in booted.steps:
        table.add_row(step.name, step.host, f"{step.seconds:.2f}")
    out.print()
    out.print(table)
    out.print(f"ACTIVE after {booted.active_s:.1f} s, logged in after {booted.login_s:.1f} s\n")
    launcher = _typed(settings)
    for what, where in (
        ("workflow", workflow_url(settings, booted.server_id)),
        ("console", console_url),
        ("openrc", f"{settings.state_dir}/demo-openrc  {settings.state_dir}/admin-openrc"),
        ("log in", f"{launcher} exec -- ssh -i {settings.state_dir}/demo_key cirros@{booted.address}"),
        ("go on", f'eval "$({launcher} openrc demo)"; openstack server event list {SERVER}'),
        ("stop", f"{launcher} down"),
    ):
        out.print(f"[bold]{what:>9}[/]  {escape(where)}", soft_wrap=True)


def _typed(settings: Settings) -> str:
    """How the command is called: the launcher of this checkout, else the installed command."""
    launcher = checkout() / "kilonova"
    if not launcher.exists():
        return "kilonova"
    moved = "" if settings.state_dir == launcher.parent / "var" else f"KILONOVA_STATE_DIR={settings.state_dir} "
    here = launcher.parent == Path.cwd()
    return f"{moved}{'./kilonova' if here else launcher}"
