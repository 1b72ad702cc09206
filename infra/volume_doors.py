"""Where guests reach their volumes, and how the volume service tells the gate what to let through."""

import contextlib
import json
import os
import re
import shutil
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from infra.nbd_process import SOCKETS, digest, gate_uid, nbd_socket, socket_path, tls_dir, volumes_view
from infra.qmp import QmpDown, QmpError, QmpUnreachable
from infra.readable import readable
from infra.settings import Settings

ATTACHMENT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DOOR = re.compile(rf"{SOCKETS}/[0-9a-f]{{10}}\.doors/{ATTACHMENT.pattern}/socket")
"""Paths that the control plane may name; a host changes the group of no other directory."""


def place(settings: Settings) -> Path:
    """Of the doors' directories. Below /run, since guests' users do not come through the state directory."""
    if os.geteuid() != 0:
        return settings.run_dir.absolute() / "doors"
    return SOCKETS / f"{digest(settings)}.doors"


def forget(settings: Settings) -> None:
    """Remove what the gate and the daemon had below /run, once both have ended. Where the daemon saw the volumes lies
    an empty directory; one that is not empty is left alone."""
    shutil.rmtree(place(settings), ignore_errors=True)
    nbd_socket(settings).unlink(missing_ok=True)
    view, monitor = volumes_view(settings), socket_path(settings)
    monitor.unlink(missing_ok=True)
    for directory in (view, monitor.parent, view.parent) if view else ():
        with contextlib.suppress(OSError):
            directory.rmdir()


def control_socket(settings: Settings) -> Path:
    return place(settings) / "control" / "socket"


def gate_argv(settings: Settings) -> list[str]:
    """Command line of the gate, in the foreground. It tells no secret."""
    tls = {"files": str(tls_dir(settings)), "address": settings.nbd_address, "port": settings.port("nbd")}
    plan = {
        "place": str(place(settings)),
        "upstream": str(nbd_socket(settings)),
        "user": gate_uid(settings),
        "tls": tls if settings.nbd_address else None,
    }
    return [sys.executable, "-m", "infra.volume_gate", json.dumps(plan)]


def let_in(path: str, group: int) -> None:
    """Let the guest with this group, and nobody else but the gate, come to the door with this socket.

    A path that is no door is left alone, and so is one that is not there: it is opened when its attachment is made."""
    if group and DOOR.fullmatch(path):
        with contextlib.suppress(FileNotFoundError):
            os.chown(Path(path).parent, -1, group, follow_symlinks=False)


class Doors:
    """The gate's doors, by attachment. Every method may be repeated. Raises QmpDown when the gate does not run,
    QmpUnreachable when it does not answer, QmpError when it cannot."""

    def __init__(self, settings: Settings, timeout: float = 5.0) -> None:
        self._place, self._user = place(settings), gate_uid(settings)
        self._control, self._timeout = control_socket(settings), timeout
        self._remote, self._lock = bool(settings.nbd_address), threading.Lock()
        self._kept: socket.socket | None = None

    def connection(self, attachment_id: str) -> str:
        """Path of the attachment's socket."""
        return str(self._place / attachment_id / "socket")

    def open(self, attachment_id: str, export: str, host: str) -> None:
        """From now on the attachment's guest on `host` comes to the export with this name."""
        if not self._remote:
            self._make(self._place / attachment_id)
        self._ask({"open": attachment_id, "export": export, "host": host})

    def _make(self, directory: Path) -> None:
        """The gate's, as long as no guest is let in. What is there already keeps the guest that it has."""
        try:
            directory.mkdir(mode=0o710)
            if self._user is not None:
                os.chown(directory, self._user, self._user)
        except FileExistsError:
            return
        except FileNotFoundError as error:
            raise QmpDown("volumes' gate: not running") from error

    def close(self, attachment_id: str) -> None:
        """Shut it, and end what came through it. A gate that does not run has no open door."""
        with contextlib.suppress(QmpDown):
            self._ask({"close": attachment_id})
        if ATTACHMENT.fullmatch(attachment_id):
            shutil.rmtree(self._place / attachment_id, ignore_errors=True)

    def all(self) -> dict[str, tuple[str, str]]:
        """attachment id → name of the export and host, of each open door; with "" for both, of each that is only a
        directory that was left."""
        known = {id: (str(name), str(host)) for id, (name, host) in self._ask({"list": ""})["doors"].items()}
        left = {entry.name for entry in self._place.iterdir() if ATTACHMENT.fullmatch(entry.name)}
        return dict.fromkeys(left, ("", "")) | known

    def _ask(self, what: dict[str, str]) -> dict[str, Any]:
        with self._lock:
            answer = self._asked(json.dumps(what).encode() + b"\n")
        told: dict[str, Any] = json.loads(answer)
        if "error" in told:
            raise QmpError(f"volumes' gate: {told['error']}")
        return told

    def _asked(self, line: bytes) -> bytes:
        """The gate's line. The connection is kept until the gate ends it; and never after a failure, by which the next
        question would have this one's answer."""
        control, self._kept = self._kept, None
        if control is not None and readable(control):
            control.close()
            control = None
        known, control = control is not None, control or socket.socket(socket.AF_UNIX)
        try:
            if not known:
                control.settimeout(self._timeout)
                control.connect(str(self._control))
            control.sendall(line)
            answer = bytearray()
            while not answer.endswith(b"\n"):
                if not (part := control.recv(1 << 16)):
                    raise ConnectionResetError
                answer += part
        except OSError as error:
            control.close()
            if isinstance(error, FileNotFoundError | ConnectionRefusedError):
                raise QmpDown("volumes' gate: not running") from error
            raise QmpUnreachable(f"volumes' gate: {type(error).__name__}") from error
        self._kept = control
        return bytes(answer)
