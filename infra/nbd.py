"""Volumes over the network: controls the one qemu-storage-daemon that exports them by NBD."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


class _Session:
    """A connection to the daemon, and what the daemon has. Nobody else changes that while the connection lasts; what
    changes by itself is only that a copy ends."""

    def __init__(self, qmp: Qmp, timeout: float) -> None:
        self.qmp, self._timeout = qmp, timeout
        self.exports: dict[str, str] = {}
        """Of those that clients can use: the node of their volume, by id."""
        self.nodes: set[str] = set()
        """Of volumes (`v`) that are open, and of filters (`f`) that may be there still."""

    def look(self) -> None:
        """Raises QmpUnreachable when an export that was ended before does not end in time."""
        end = time.monotonic() + self._timeout
        while any(export["shutting-down"] for export in self.look_at_exports()):
            if time.monotonic() > end:
                raise QmpUnreachable("storage daemon: an export did not end in time")
            time.sleep(0.02)
        self.look_at_nodes()

    def look_at_exports(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.qmp("query-block-exports")
        self.exports = {e["id"]: "v" + e["node-name"][1:] for e in found if not e["shutting-down"]}
        return found

    def look_at_nodes(self) -> None:
        names = (node["node-name"] for node in self.qmp("query-named-block-nodes", flat=True))
        self.nodes = {name for name in names if name.startswith(("v", "f"))}

    def node_for(self, volume_id: str) -> str:
        """Where a writer enters: while a copy runs, above its filter, which saves each block before it changes."""
        above = _node("f", volume_id)
        if above in self.nodes:
            self.look_at_nodes()  # the copy may have ended
        return above if above in self.nodes else _node("v", volume_id)

    def close_unused(self) -> None:
        """Close the volumes that no export has; one that is being copied stays as it is."""
        for node in self.nodes - set(self.exports.values()):
            if node.startswith("v") and _close(self.qmp, node):
                self.nodes.discard(node)


class StorageDaemon:
    """The daemon behind one QMP socket. Every method may be repeated; calls from several threads take turns. The
    connection is kept, and with it what the daemon has is known, until a command fails.

    All raise QmpUnreachable when the daemon does not answer, QmpError when it refuses."""

    def __init__(self, socket: Path, timeout: float = 5.0, view: Path | None = None) -> None:
        self._socket, self._timeout, self._view = socket, timeout, view
        self._known: _Session | None = None
        self.lock = threading.RLock()

    def close(self) -> None:
        """End the connection, so that another client has its turn."""
        with self.lock:
            if self._known is not None:
                self._known.qmp.close()
            self._known = None

    @contextmanager
    def _session(self) -> Iterator[_Session]:
        with self.lock:
            try:
                if self._known is None or self._known.qmp.ended():
                    self.close()
                    self._known = _Session(Qmp(self._socket, self._timeout), self._timeout)
                    self._known.look()
                yield self._known
            except BaseException:
                self.close()
                raise

    def exports(self) -> set[str]:
        """Ids of the exports that clients can use now, as `Export.id` names them; the daemon is asked."""
        with self._session() as known:
            known.look_at_exports()
            return set(known.exports)

    def export(self, wanted: Export) -> None:
        with self._session() as known:
            if wanted.id in known.exports:
                return
            self._open(known, wanted.volume_id, wanted.path)
            known.qmp(
                "block-export-add",
                type="nbd",
                id=wanted.id,
                node_name=known.node_for(wanted.volume_id),
                name=wanted.name,
                writable=wanted.writable,
            )
            known.exports[wanted.id] = _node("v", wanted.volume_id)

    def unexport(self, export_id: str) -> None:
        """End the export and its connections at once; close files that nobody uses any more."""
        with self._session() as known:
            if export_id in known.exports:
                known.qmp("block-export-del", id=export_id, mode="hard")
                known.qmp.until("BLOCK_EXPORT_DELETED", id=export_id)
                del known.exports[export_id]
            known.close_unused()

    def copy(self, volume_id: str, source: Path, target: Path, cancelled: Callable[[], bool]) -> None:
        """Copy the volume as it is at this moment into the existing qcow2 file `target`, while guests may go on
        writing. Returns when the copy is complete; a cancelled or failed one raises QmpError, one that was lost
        with its daemon QmpUnreachable."""
        node, job = _node("t", target.name.partition(".")[0]), f"copy-{target.name}"
        with self._session() as known:
            _end_job(known.qmp, job)
            _close(known.qmp, node)
            self._open(known, volume_id, source)
            known.qmp("blockdev-add", driver="qcow2", node_name=node, discard="unmap", file=self._file(target))
            known.nodes.add(_node("f", volume_id))
            known.qmp(
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
            with self._session() as known:
                _end_job(known.qmp, job)
                _close(known.qmp, node)
                known.close_unused()

    def _follow(self, job: str, cancelled: Callable[[], bool]) -> None:
        pause = 0.02
        while True:
            with self._session() as known:
                state = next((j for j in known.qmp("query-jobs") if j["id"] == job), None)
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

    def _open(self, known: _Session, volume_id: str, path: Path) -> None:
        """Have the daemon open the volume."""
        node = _node("v", volume_id)
        if node not in known.nodes:
            known.qmp("blockdev-add", driver="raw", node_name=node, discard="unmap", file=self._file(path))
            known.nodes.add(node)

    def _file(self, path: Path) -> dict[str, Any]:
        """By the name that the daemon knows it by, and its own by then: what was made by root, or by an older version,
        becomes its directory's owner's."""
        owner = path.parent.stat()
        if path.stat().st_uid != owner.st_uid:
            os.chown(path, owner.st_uid, owner.st_gid)
        seen = path if self._view is None else self._view / path.name
        return {"driver": "file", "filename": str(seen), "discard": "unmap"}


def _close(qmp: Qmp, node: str) -> bool:
    """Close a node; one that is still used, or does not exist, stays as it is."""
    try:
        qmp("blockdev-del", node_name=node)
    except QmpError:
        return False
    return True


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
