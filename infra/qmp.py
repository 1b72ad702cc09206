"""A small blocking client of QEMU's machine protocol (QMP) over a UNIX socket.

Source: QEMU's "QEMU Machine Protocol Specification" and its "QEMU Storage Daemon QMP Reference Manual".
"""

import json
import socket
import time
from pathlib import Path
from typing import Any

from infra.readable import readable


class QmpError(Exception):
    """The daemon refused a command; the text is its own description."""


class QmpUnreachable(Exception):
    """Nobody answers on the socket: the daemon is not running, is starting, or hangs."""


class QmpDown(QmpUnreachable):
    """Nobody listens on the socket: the daemon is not running, so it exports nothing."""


class Qmp:
    """One connection, open from the beginning until `close`. The daemon serves one client at a time: others wait for
    it up to `timeout` seconds, and nothing that it has is changed by anybody else meanwhile."""

    def __init__(self, path: Path, timeout: float = 5.0) -> None:
        self._timeout = timeout
        self._events: list[dict[str, Any]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        self._lines = self._socket.makefile("rb")
        try:
            self._socket.connect(str(path))
            self._answer()  # greeting
            self("qmp_capabilities")
        except BaseException as error:
            self.close()
            if isinstance(error, FileNotFoundError | ConnectionRefusedError):
                raise QmpDown("storage daemon: not running") from error
            if isinstance(error, OSError):
                raise QmpUnreachable(f"storage daemon: {type(error).__name__}") from error
            raise

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def ended(self) -> bool:
        """Whether the daemon has ended, which ends the connection. What it told meanwhile is forgotten."""
        self._events.clear()
        try:
            while readable(self._socket):
                if not self._lines.readline():
                    return True
        except OSError:
            return True
        return False

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

    def until(self, event: str, **data: Any) -> None:
        """Return once the daemon has told of the event with this data, since `ended` was asked last. QmpUnreachable
        when it does not in time."""
        end = time.monotonic() + self._timeout
        try:
            while not any(told["event"] == event and data.items() <= told["data"].items() for told in self._events):
                if time.monotonic() > end:
                    raise TimeoutError
                self._hear()
        except OSError as error:
            raise QmpUnreachable(f"storage daemon: {type(error).__name__} before {event}") from error

    def _answer(self) -> dict[str, Any]:
        while (told := self._hear()) is None:
            pass
        return told

    def _hear(self) -> dict[str, Any] | None:
        """The next answer; None when it was an event, which is kept."""
        line = self._lines.readline()
        if not line:
            raise ConnectionResetError
        told: dict[str, Any] = json.loads(line)
        if "event" not in told:
            return told
        self._events.append(told)
        return None
