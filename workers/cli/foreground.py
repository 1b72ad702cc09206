"""Processes in the foreground: what the supervisor, or systemd on a production host, runs."""

import asyncio
import inspect
import os
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from infra import lean
from infra.settings import Settings


def _finish(code: int) -> NoReturn:
    """End without Python's finalization, during which Temporal's SDK now and then aborts the process."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(process: str, entry: Callable[[Settings], Any], settings: Settings) -> NoReturn:
    from infra import logs

    logs.setup(process, settings.log_level)
    code = 0
    try:
        outcome = entry(settings)
        if inspect.isawaitable(outcome):
            with asyncio.Runner(loop_factory=_fast_loop if process.startswith("worker") else None) as runner:
                runner.run(_wait(outcome))
    except KeyboardInterrupt:
        code = 130
    except SystemExit as request:
        code = request.code if isinstance(request.code, int) else 1
    except BaseException as error:
        logs.get(__name__).error("process failed", exc_info=error)
        code = 1
    _finish(code)


def _fast_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


async def _wait(outcome: Any) -> None:
    await outcome


def api(services: list[str]) -> NoReturn:
    lean.leave_out(*lean.OPTIONAL)
    from workers import servers
    from workers.processes import OPENSTACK

    if OPENSTACK.keys() & set(services):
        _openstack(Settings(), services)

    _run("api-" + "+".join(services), lambda settings: servers.run(settings, services), Settings())


def _openstack(settings: Settings, services: list[str]) -> NoReturn:
    """Become Keystone or Glance, with a configuration of these settings."""
    from infra.bootstrap import FormerState, bootstrap
    from workers.processes import OPENSTACK, embedded_argv

    if len(services) > 1:
        sys.exit(f"{' and '.join(OPENSTACK)} need a process each: they share no configuration")
    try:
        bootstrap(settings)
    except FormerState as error:
        sys.exit(str(error))
    argv = embedded_argv(settings, services[0])
    os.execv(argv[0], argv)  # noqa: S606


def worker_control() -> NoReturn:
    lean.leave_out(*lean.OPTIONAL)
    from workers.control import run_control
    from workers.sign_in import as_service

    _run("worker-control", run_control, as_service(Settings(), "nova"))


def worker_compute() -> NoReturn:
    lean.leave_out(*lean.OPTIONAL)
    from workers.sign_in import as_host

    settings = as_host(Settings())
    threading.Thread(target=_ask_libvirt, args=(settings.libvirt_uri,), name="first-question", daemon=True).start()
    from workers.compute import run_compute

    _run("worker-compute", run_compute, settings)


def _ask_libvirt(uri: str) -> None:
    """Before its first answer libvirt looks for seconds at what QEMU can do. It may do so while this process imports;
    whether it can be reached at all is found out later."""
    import libvirt

    with suppress(libvirt.libvirtError):
        libvirt.open(uri).getVersion()


def console() -> NoReturn:
    warnings.filterwarnings("ignore", "no 'numpy' module")  # with it, keystrokes would be unmasked faster
    lean.leave_out(*lean.OPTIONAL, "numpy")
    from workers.console import run_console

    _run("console", run_console, Settings())


def gate(address: str) -> NoReturn:
    from workers.gate import run

    _run("temporal-gate", lambda settings: run(settings, address), Settings())


def codec() -> NoReturn:
    lean.leave_out(*lean.OPTIONAL)
    from workers.codec_server import run_codec

    _run("codec", run_codec, Settings())
