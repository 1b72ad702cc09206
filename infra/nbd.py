"""Volumes over the network: controls the one qemu-storage-daemon that exports them by NBD."""

import hashlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.nbd_process import nbd_socket, socket_path, storage_daemon_argv, volumes_dir, volumes_uid, volumes_view
from infra.qmp import Qmp, QmpDown, QmpError, QmpUnreachable

__all__ = [
    "Export",
    "QmpDown",
    "QmpError",
    "QmpUnreachable",
    "StorageDaemon",
    "nbd_socket",
    "socket_path",
    "storage_daemon_argv",
    "volumes_dir",
    "volumes_uid",
    "volumes_view",
]


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


def attachment_of(export_id: str) -> str:
    """The attachment that an `Export.id` is of; "" when it is no such id."""
    return export_id.removeprefix("att-").rpartition("-")[0]


def _node(kind: str, object_id: str) -> str:
    """Block node of a volume (`v`), of its copy's filter (`f`), of a copy's target (`t`): QEMU allows 31 characters."""
    return kind + object_id.replace("-", "")[:30]


class StorageDaemon:
    """The daemon behind one QMP socket. Every method may be repeated; calls from several threads take turns.

    All raise QmpUnreachable when the daemon does not answer, QmpError when it refuses."""

    def __init__(self, socket: Path, timeout: float = 5.0, view: Path | None = None) -> None:
        self._socket, self._timeout, self._view = socket, timeout, view
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
            known = self._open(qmp, wanted.volume_id, wanted.path)
            # While a copy runs, writers must enter above its filter, which saves each block before it is overwritten.
            above = _node("f", wanted.volume_id)
            node = above if above in known else _node("v", wanted.volume_id)
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
            self._open(qmp, volume_id, source)
            qmp("blockdev-add", driver="qcow2", node_name=node, discard="unmap", file=self._file(target))
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

    def _open(self, qmp: Qmp, volume_id: str, path: Path) -> set[str]:
        """Have the daemon open the volume; the nodes that it had already."""
        known = _nodes(qmp)
        if _node("v", volume_id) not in known:
            qmp("blockdev-add", driver="raw", node_name=_node("v", volume_id), discard="unmap", file=self._file(path))
        return known

    def _file(self, path: Path) -> dict[str, Any]:
        """By the name that the daemon knows it by, and its own by then: what was made by root, or by an older version,
        becomes its directory's owner's."""
        owner = path.parent.stat()
        if path.stat().st_uid != owner.st_uid:
            os.chown(path, owner.st_uid, owner.st_gid)
        seen = path if self._view is None else self._view / path.name
        return {"driver": "file", "filename": str(seen), "discard": "unmap"}

    def _close_unused(self, qmp: Qmp) -> None:
        for node in _nodes(qmp):
            if node.startswith("v"):
                _close(qmp, node)


def _nodes(qmp: Qmp) -> set[str]:
    return {n["node-name"] for n in qmp("query-named-block-nodes", flat=True)}


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
