"""One command of the unmodified `openstack` client in a process of its own, which has its modules loaded already."""

import io
import json
import multiprocessing
from multiprocessing.connection import Connection
from typing import Any

import openstack.connection  # noqa: F401  loaded once, here
import osc_lib.utils  # noqa: F401
from openstackclient import shell

CLEAN = multiprocessing.get_context("forkserver")  # the client keeps its connections: one process per command
CLEAN.set_forkserver_preload([__name__])


def command(arguments: list[str], answer: Connection) -> None:
    app = shell.OpenStackShell()
    app.stdout = out = io.StringIO()
    status = app.run(arguments)
    answer.send((status, out.getvalue()))


def run(who: dict[str, str], line: str, *, text: bool = False) -> Any:
    """The command's JSON, or with `text` what it prints; it has to succeed."""
    options = [f"--{name.lower().replace('_', '-')}={value}" for name, value in who.items()]
    mine, its = CLEAN.Pipe(duplex=False)
    child = CLEAN.Process(target=command, args=([*options, *line.split(), *([] if text else ["-f", "json"])], its))
    child.start()
    assert mine.poll(60), f"openstack {line} does not end"
    status, out = mine.recv()
    child.join()
    assert not status, f"openstack {line}"
    return out if text else json.loads(out)
