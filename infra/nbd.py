"""Volumes over the network: controls the one qemu-storage-daemon that exports them by NBD."""

import hashlib
import os
import shlex
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.qmp import Qmp, QmpDown, QmpError, QmpUnreachable
from infra.settings import Settings

__all__ = [
    "Export",
    "QmpDown",
    "QmpError",
    "QmpUnreachable",
    "StorageDaemon",
    "nbd_socket",
    "socket_path",
    "storage_daemon_argv",
]


SOCKETS = Path("/run/kilonova")


def socket_path(settings: Settings) -> Path:
    return settings.run_dir.absolute() / "nbd.qmp"


def nbd_socket(settings: Settings) -> Path | None:
    """Where the machine's own guests reach volumes; None when hosts reach them by TLS.

    Below /run, since the guests' user does not come through the state directory, and a socket's path is short."""
    if settings.nbd_address:
        return None
    if os.geteuid() != 0:
        return settings.run_dir.absolute() / "nbd" / "socket"
    digest = hashlib.sha256(str(settings.state_dir.absolute()).encode()).hexdigest()[:10]
    return SOCKETS / f"{digest}.nbd" / "socket"


def storage_daemon_argv(settings: Settings, group: int | None = None) -> list[str]:
    """Command line of the daemon, in the foreground; a supervisor runs it (in a network namespace, if it likes).

    `group`: of QEMU's user, who must reach the socket; None: QEMU's user is ours. The command line tells no secret.
    The daemon exports nothing until the volume service tells it to, and may be killed and started again at any time:
    clients that reconnect lose nothing that they had flushed."""
    daemon = [
        "qemu-storage-daemon",
        "--chardev",
        f"socket,id=qmp,path={_quoted(socket_path(settings))},server=on,wait=off",
        "--monitor",
        "chardev=qmp",
        "--pidfile",
        str(settings.run_dir.absolute() / "nbd.pid"),
    ]
    path = nbd_socket(settings)
    if path is None:
        tls = _quoted((settings.nbd_tls_dir or Path("/nonexistent")).absolute())
        return [
            *daemon,
            "--object",
            f"tls-creds-x509,id=tls,dir={tls},endpoint=server,verify-peer=on",
            "--nbd-server",
            f"addr.type=inet,addr.host={settings.nbd_address},addr.port={settings.port('nbd')},"
            "tls-creds=tls,max-connections=0",
        ]
    owner = "" if group is None else f"chgrp {group} {shlex.quote(str(path.parent))}; "
    mode = "0700" if group is None else "02710"
    place = shlex.quote(str(path.parent))
    script = f'set -e; mkdir -p {place}; {owner}chmod {mode} {place}; umask 0117; exec "$@"'
    server = ["--nbd-server", f"addr.type=unix,addr.path={_quoted(path)},max-connections=0"]
    return ["/bin/sh", "-c", script, "nbd", *daemon, *server]


def _quoted(path: Path) -> str:
    """As QEMU's comma-separated options want it."""
    return str(path).replace(",", ",,")


@dataclass(frozen=True)
class Export:
    """What one attachment of a volume sees: the file at `path` under the unguessable `name`."""

    attachment_id: str
    volume_id: str
    name: str
    path: Path
    writable: bool = True

    @property
    def id(self) -> str:
        """The daemon's id of it; another name is another export."""
        return f"att-{self.attachment_id}-{hashlib.sha256(self.name.encode()).hexdigest()[:12]}"


def _node(kind: str, object_id: str) -> str:
    """Block node of a volume (`v`), of its copy's filter (`f`), of a copy's target (`t`): QEMU allows 31 characters."""
    return kind + object_id.replace("-", "")[:30]


class StorageDaemon:
    """The daemon behind one QMP socket. Every method may be repeated; calls from several threads take turns.

    All raise QmpUnreachable when the daemon does not answer, QmpError when it refuses."""

    def __init__(self, socket: Path, timeout: float = 5.0) -> None:
        self._socket, self._timeout = socket, timeout
        self.lock = threading.RLock()

    def _qmp(self) -> Qmp:
        return Qmp(self._socket, self._timeout)

    def exports(self) -> set[str]:
        """Ids of the exports that clients can use now, as `Export.id` names them."""
        with self.lock, self._qmp() as qmp:
            return {e["id"] for e in qmp("query-block-exports") if not e["shutting-down"]}

    def export(self, wanted: Export) -> None:
        with self.lock, self._qmp() as qmp:
            if wanted.id in {e["id"] for e in qmp("query-block-exports")}:
                return
            _open(qmp, wanted.volume_id, wanted.path)
            # While a copy runs, writers must enter above its filter, which saves each block before it is overwritten.
            above = _node("f", wanted.volume_id)
            node = above if above in _nodes(qmp) else _node("v", wanted.volume_id)
            qmp(
                "block-export-add",
                type="nbd",
                id=wanted.id,
                node_name=node,
                name=wanted.name,
                writable=wanted.writable,
            )

    def unexport(self, export_id: str) -> None:
        """End the export and its connections at once; close files that nobody uses any more."""
        with self.lock, self._qmp() as qmp:
            if export_id in {e["id"] for e in qmp("query-block-exports")}:
                qmp("block-export-del", id=export_id, mode="hard")
            end = time.monotonic() + self._timeout
            while export_id in {e["id"] for e in qmp("query-block-exports")}:
                if time.monotonic() > end:
                    raise QmpUnreachable("storage daemon: an export did not end in time")
                time.sleep(0.02)
            self._close_unused(qmp)

    def copy(self, volume_id: str, source: Path, target: Path, cancelled: Callable[[], bool]) -> None:
        """Copy the volume as it is at this moment into the existing qcow2 file `target`, while guests may go on
        writing. Returns when the copy is complete; a cancelled or failed one raises QmpError, one that was lost
        with its daemon QmpUnreachable."""
        node, job = _node("t", target.name.partition(".")[0]), f"copy-{target.name}"
        with self.lock, self._qmp() as qmp:
            _end_job(qmp, job)
            _close(qmp, node)
            _open(qmp, volume_id, source)
            qmp("blockdev-add", driver="qcow2", node_name=node, discard="unmap", file=_file(target))
            qmp(
                "blockdev-backup",
                job_id=job,
                device=_node("v", volume_id),
                target=node,
                sync="full",
                auto_dismiss=False,
                filter_node_name=_node("f", volume_id),
            )
        try:
            self._follow(job, cancelled)
        finally:
            with self.lock, self._qmp() as qmp:
                _end_job(qmp, job)
                _close(qmp, node)
                self._close_unused(qmp)

    def _follow(self, job: str, cancelled: Callable[[], bool]) -> None:
        pause = 0.02
        while True:
            with self._qmp() as qmp:
                state = next((j for j in qmp("query-jobs") if j["id"] == job), None)
            if state is None:
                raise QmpUnreachable("storage daemon: it was restarted during a copy")
            if state["status"] == "concluded":
                if "error" in state:
                    raise QmpError(state["error"])
                return
            if cancelled():
                raise QmpError("the copy was cancelled")
            time.sleep(pause)
            pause = min(pause * 2, 0.5)

    def _close_unused(self, qmp: Qmp) -> None:
        for node in _nodes(qmp):
            if node.startswith("v"):
                _close(qmp, node)


def _file(path: Path) -> dict[str, Any]:
    return {"driver": "file", "filename": str(path), "discard": "unmap"}


def _nodes(qmp: Qmp) -> set[str]:
    return {n["node-name"] for n in qmp("query-named-block-nodes", flat=True)}


def _open(qmp: Qmp, volume_id: str, path: Path) -> None:
    if _node("v", volume_id) not in _nodes(qmp):
        qmp("blockdev-add", driver="raw", node_name=_node("v", volume_id), discard="unmap", file=_file(path))


def _close(qmp: Qmp, node: str) -> None:
    """Close a node; one that is still used, or does not exist, stays as it is."""
    try:
        qmp("blockdev-del", node_name=node)
    except QmpError:
        return


def _end_job(qmp: Qmp, job: str) -> None:
    """Cancel and forget a job of a copy that its service did not see to its end."""
    for _ in range(200):
        state = next((j["status"] for j in qmp("query-jobs") if j["id"] == job), None)
        if state is None:
            return
        if state == "concluded":
            qmp("job-dismiss", id=job)
        elif state not in ("aborting", "waiting", "pending"):
            qmp("job-cancel", id=job)
        time.sleep(0.02)
    raise QmpUnreachable("storage daemon: a job did not end in time")
