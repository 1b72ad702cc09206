"""`openstack` without its start: a process that has loaded python-openstackclient forks a child for each command.

`serve.py SOCKET` waits for commands; the program `openstack` beside it hands over its arguments, environment, directory
and outputs, and ends as the child does. The client itself is unmodified. Neither program knows anything of Kilonova."""

import contextlib
import io
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable

WARM = ("server list", "image list", "network list", "volume list", "project list")
"""One command of each service: the first one of a service loads all that it needs."""


def main(path: str) -> None:
    sys.argv = ["openstack"]  # its name for itself, which it takes when it is loaded
    import openstack.connection  # noqa: F401
    from openstackclient import shell

    for command in WARM:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
            shell.main([*command.split(), "--help"])
    logging.getLogger().handlers.clear()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a child: the one who asks is told by it
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen(8)
        while True:
            asking, _ = door.accept()
            if os.fork() == 0:
                door.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                answer(asking, shell.main)
            asking.close()


def answer(asking: socket.socket, command: Callable[[list[str]], int]) -> None:
    """Be the command, and tell how it ended."""
    words, handed, _, _ = socket.recv_fds(asking, 1 << 20, 2)
    for number, descriptor in enumerate(handed, start=1):
        os.dup2(descriptor, number)
        os.close(descriptor)
    wanted = json.loads(words)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    os.chdir(wanted["directory"])
    sys.argv = ["openstack", *wanted["arguments"]]
    try:
        code = command(wanted["arguments"])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    sys.stdout.flush()
    sys.stderr.flush()
    asking.sendall(bytes([code & 255]))
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
