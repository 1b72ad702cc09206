"""A small blocking client of QEMU's machine protocol (QMP) over a UNIX socket.

Source: QEMU's "QEMU Machine Protocol Specification" and its "QEMU Storage Daemon QMP Reference Manual".
"""

import json
import socket
from pathlib import Path
from types import TracebackType
from typing import Any


class QmpError(Exception):
    """The daemon refused a command; the text is its own description."""


class QmpUnreachable(Exception):
    """Nobody answers on the socket: the daemon is not running, is starting, or hangs."""


class QmpDown(QmpUnreachable):
    """Nobody listens on the socket: the daemon is not running, so it exports nothing."""


class Qmp:
    """One connection, used as `with Qmp(path) as qmp: qmp("query-jobs")`. The daemon serves one client at a time, so
    a connection is kept only for a few commands; others wait for it up to `timeout` seconds."""

    def __init__(self, path: Path, timeout: float = 5.0) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)

    def __enter__(self) -> "Qmp":
        try:
            self._socket.connect(str(self._path))
            self._lines = self._socket.makefile("rb")
            self._answer()  # greeting
            self("qmp_capabilities")
        except BaseException as error:
            self._socket.close()
            if isinstance(error, FileNotFoundError | ConnectionRefusedError):
                raise QmpDown("storage daemon: not running") from error
            if isinstance(error, OSError):
                raise QmpUnreachable(f"storage daemon: {type(error).__name__}") from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lines.close()
        self._socket.close()

    def __call__(self, command: str, **arguments: Any) -> Any:
        """The command's return value. Underscores in argument names become the dashes of QMP.

        Raises QmpError when the daemon refuses, QmpUnreachable when it goes away or does not answer in time."""
        dashed = {name.replace("_", "-"): value for name, value in arguments.items()}
        try:
            self._socket.sendall(json.dumps({"execute": command, "arguments": dashed}).encode() + b"\n")
            answer = self._answer()
        except OSError as error:
            raise QmpUnreachable(f"storage daemon: {type(error).__name__} during {command}") from error
        if "error" in answer:
            raise QmpError(answer["error"]["desc"])
        return answer["return"]

    def _answer(self) -> dict[str, Any]:
        while True:
            line = self._lines.readline()
            if not line:
                raise ConnectionResetError
            answer: dict[str, Any] = json.loads(line)
            if "event" not in answer:
                return answer
