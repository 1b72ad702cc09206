"""The `kilonova` command. Each command imports what it needs when it runs, so that `--help` is instant."""

import importlib
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from workers import settle

CHECKOUT = Path(__file__).resolve().parent.parent.parent
if "KILONOVA_STATE_DIR" not in os.environ and (CHECKOUT / "pyproject.toml").exists():
    os.environ["KILONOVA_STATE_DIR"] = str(CHECKOUT / "var")

app = typer.Typer(
    name="kilonova",
    help="OpenStack-compatible compute service in which every operation on a server is a durable Temporal workflow.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks print local variables: tokens, passwords
    context_settings={"help_option_names": ["-h", "--help"]},
)
worker = typer.Typer(help="Run one worker in the foreground.", no_args_is_help=True)
app.add_typer(worker, name="worker")
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}


@app.callback()
def common(context: typer.Context) -> None:
    """Whatever the shell or the unit file says: QEMU and dnsmasq, other users, must reach some of what we write."""
    if context.invoked_subcommand not in ("exec", "test"):
        os.umask(0o022)


@app.command()
def up(
    hosts: Annotated[int | None, typer.Option(min=1, max=64, help="Number of compute hosts: node1, node2, …")] = None,
    driver: Annotated[str | None, typer.Option(help="qemu: real guests; test: libvirt's test driver.")] = None,
    image: Annotated[bool, typer.Option(help="Upload a guest image `cirros` if there is none.")] = True,
    tls: Annotated[bool, typer.Option("--tls", help="HTTPS on every service, from now on.")] = False,
    demo_objects: Annotated[
        bool, typer.Option("--demo-objects", help="Also a flavor, a network, a key pair and rules to try with.")
    ] = False,
    extra: Annotated[
        str | None, typer.Option("--with", help="horizon: OpenStack's dashboard as well; nothing: no longer.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait until all is ready.")] = 90.0,
) -> None:
    """Start the whole cloud on this machine and wait until it is ready. Does nothing to what runs already."""
    from workers.cli import cloud

    if driver not in (None, "qemu", "test"):
        raise typer.BadParameter("qemu or test", param_hint="--driver")
    if tls:
        cloud.keep_tls()
    if extra not in (None, "horizon", "nothing"):
        raise typer.BadParameter("horizon or nothing", param_hint="--with")
    chosen: Literal["qemu", "test"] | None = None if driver is None else ("test" if driver == "test" else "qemu")
    beside: Literal["horizon", "nothing"] | None = (
        None if extra is None else ("horizon" if extra == "horizon" else "nothing")
    )
    raise typer.Exit(
        cloud.up(hosts=hosts, driver=chosen, image=image, timeout_s=timeout, objects=demo_objects, extra=beside)
    )


@app.command()
def down() -> None:
    """Stop everything that `up` started and remove namespace, bridges and mounts. Data is kept."""
    from workers.cli import cloud

    raise typer.Exit(cloud.down())


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show each process; exit status 0 only when all of them run and answer."""
    from workers.cli import status as view

    raise typer.Exit(view.show(as_json))


@app.command()
def openrc(who: Annotated[str, typer.Argument(help="admin or demo")]) -> None:
    """Print the openrc file of a user: eval "$(./kilonova openrc demo)"."""
    from workers.cli import shell

    raise typer.Exit(shell.openrc(who))


@app.command("exec", context_settings=PASS_ON)
def exec_(
    context: typer.Context,
    network: Annotated[str, typer.Option(help="Name or id of the guests' network; default: the provider's.")] = "",
    bridges: Annotated[bool, typer.Option("--bridges", help="Where bridges and taps are, not a network.")] = False,
) -> None:
    """Run a command where guests can be reached: kilonova exec -- ssh cirros@192.168.56.101."""
    from workers.cli import shell

    raise typer.Exit(shell.run_inside(context.args, network, bridges=bridges))


@app.command()
def demo() -> None:
    """Start the cloud, boot a server with the `openstack` client, log into it, show what happened."""
    from workers.cli import demo as show

    raise typer.Exit(show.run())


@app.command("guest-image")
def guest_image(
    lean: Annotated[bool | None, typer.Option(help="The build that boots in 64 MiB; compiles its kernel once.")] = None,
) -> None:
    """Upload a guest image named `cirros` into the running cloud, if there is none."""
    from workers.cli import guest_image as image

    raise typer.Exit(image.upload(lean))


@app.command(context_settings=PASS_ON)
def test(
    context: typer.Context,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="fail below 98 % of the branches of workflows and activities")
    ] = False,
) -> None:
    """Run linters, type checker, import contracts and tests. Arguments go to pytest."""
    from workers.cli import checks

    raise typer.Exit(checks.run(CHECKOUT, context.args, coverage))


@app.command()
def api(
    service: Annotated[
        list[str], typer.Option(help="compute, placement, identity, image, network, volume or codec; repeat for more")
    ],
) -> None:
    """Serve one or more APIs in the foreground."""
    from workers.cli import foreground

    foreground.api(service)


@worker.command("control")
def worker_control() -> None:
    """Workflows and database activities."""
    from workers.cli import foreground

    foreground.worker_control()


@worker.command("compute")
def worker_compute() -> None:
    """One hypervisor host's activities. Knows no database."""
    from workers.cli import foreground

    foreground.worker_compute()


@app.command()
def console() -> None:
    """Serve guests' consoles (noVNC) behind one-time tokens, in the foreground."""
    from workers.cli import foreground

    foreground.console()


@app.command()
def codec() -> None:
    """Serve the codec that shows encrypted payloads to operators in the Web UI, in the foreground."""
    from workers.cli import foreground

    foreground.codec()


@app.command("temporal-gate")
def temporal_gate(
    listen: Annotated[str, typer.Option(help="ADDRESS:PORT that compute hosts of other machines reach.")],
) -> None:
    """Serve compute hosts' way to Temporal in the foreground: each polls its own queue, by its certificate."""
    from workers.cli import foreground

    foreground.gate(listen)


@app.command()
def supervise() -> None:
    """Supervise the planned processes in the foreground, as `up` does in the background."""
    from workers.cli import cloud

    raise typer.Exit(cloud.supervise())


@app.command()
def leaks(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what is safe.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count what hosts, services and records disagree about; 0 is the expected answer."""
    from workers.cli.leaks import leaks as count

    raise typer.Exit(count(repair, as_json))


@app.command()
def watch(
    server: str, once: Annotated[bool, typer.Option("--once", help="Print what there is and leave.")] = False
) -> None:
    """Show each step of what is being done to a server, as it happens, until that operation ends."""
    from workers.cli.build import watch as show

    show(server, once)


def _group(name: str, module: str) -> typer.Typer:
    """The commands of `kilonova NAME …`; imported only when one is called, else just their place in `--help`."""
    if sys.argv[1:2] == [name]:
        commands: typer.Typer = importlib.import_module(f"workers.cli.{module}").app
        return commands
    return typer.Typer()


app.add_typer(_group("build", "build"), name="build", help="Watch, retry, abort and replay builds.")
app.add_typer(
    _group("keys", "keys"),
    name="keys",
    help="Rotate the keys of tokens and of encrypted payloads; make certificates.",
)
app.add_typer(_group("host", "hosts"), name="host", help="Give compute hosts their credentials, and take them back.")


def _unusable(error: Exception) -> int:
    """The exit status, after a line; raises what is neither the state directory's fault nor that of settings."""
    from workers.cli.unusable import words

    if (line := words(error)) is None:
        raise error
    print(line, file=sys.stderr)
    return 2


def run() -> NoReturn:
    """The console script. Leaves without the interpreter's own finalization where Temporal's core was in use: its
    threads may still call into Python then, which aborts the process after all is done (exit status 134)."""
    settle.begin()
    code: int | str | None = 0
    try:
        app()
    except SystemExit as end:
        code = end.code
    except (OSError, ValueError) as error:
        code = _unusable(error)
    core = "temporalio.bridge.temporal_sdk_bridge" in sys.modules
    if not core or not (code is None or isinstance(code, int)):
        sys.exit(code)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a pipe that nobody reads any more
            stream.flush()
    os._exit(code or 0)
