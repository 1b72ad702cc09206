"""Changes of volumes that exist, carried through in the background: growth under a server, upload, revert, re-image.

Each ends by writing the status that follows from the volume's attachments, or the error that Cinder shows."""

from typing import Any

from sqlmodel import Session

from api.common.telling import Compute
from api.volume.building import Building, Stop
from api.volume.exports import Exports
from api.volume.files import Cancelled, Files, Unusable
from api.volume.records import attachments_of, settle_status
from api.volume.upload_work import Uploads
from infra.database import Database
from infra.nbd import QmpUnreachable
from infra.tables.volume import Snapshot, Volume, now

FAILED = {"extending": "error_extending", "reverting": "error", "downloading": "error"}
"""Status after a failed change; a failed upload leaves the volume as it was."""


class Changing:
    def __init__(
        self, db: Database, files: Files, building: Building, exports: Exports, compute: Compute, uploads: Uploads
    ) -> None:
        self._db, self._files, self._building = db, files, building
        self._exports, self._compute, self._uploads = exports, compute, uploads

    def do(self, row: Volume, stop: Stop) -> None:
        """Raises what went wrong; Cancelled when it was asked to stop."""
        {
            "extending": self._grow,
            "uploading": self._upload,
            "reverting": self._revert,
            "downloading": self._reimage,
        }[row.status](row, stop)

    def give_up(self, row: Volume, fault: str) -> None:
        if row.status == "uploading":
            self._uploads.forget(row)
        with self._db.write() as session:
            stored = self._still(session, row)
            if stored is None:
                return
            settle_status(session, stored)
            stored.status = FAILED.get(row.status, stored.status)
            self._release_snapshot(session, row)
            stored.task, stored.target_size, stored.fault, stored.updated_at = None, None, fault, now()

    def _finish(self, row: Volume, **values: Any) -> None:
        with self._db.write() as session:
            stored = self._still(session, row)
            if stored is None:
                return
            for name, value in values.items():
                setattr(stored, name, value)
            settle_status(session, stored)
            self._release_snapshot(session, row)
            stored.task, stored.target_size, stored.fault, stored.updated_at = None, None, None, now()

    def _still(self, session: Session, row: Volume) -> Volume | None:
        """The row, unless a delete or an administrator's reset came first."""
        stored = session.get(Volume, row.id, with_for_update=True)
        return stored if stored is not None and stored.status == row.status else None

    def _release_snapshot(self, session: Session, row: Volume) -> None:
        snapshot_id = (row.task or {}).get("snapshot_id")
        snapshot = session.get(Snapshot, snapshot_id) if snapshot_id else None
        if snapshot and snapshot.status == "restoring":
            snapshot.status, snapshot.updated_at = "available", now()

    def _grow(self, row: Volume, stop: Stop) -> None:
        """The file, then the exports, then the word to the compute service: a host sees the new size when it looks."""
        size = row.target_size or row.size
        with self._building.lock(row.id):
            self._files.extend(self._files.volume(row.id), size)
            try:
                servers = self._exports.reopen(row.id)
            except QmpUnreachable as error:  # it hangs; the volume stays `extending` until the sweep finds it well
                raise Cancelled from error
        self._finish(row, size=size)
        self._compute.tell("volume-extended", servers, row.id)

    def _upload(self, row: Volume, stop: Stop) -> None:
        with self._db.read() as session:
            in_use = bool(attachments_of(session, row.id))
        self._uploads.do(row, in_use, stop)
        self._finish(row)

    def _revert(self, row: Volume, stop: Stop) -> None:
        snapshot_id = str((row.task or {}).get("snapshot_id"))
        self._building.revert(row, snapshot_id, stop)
        with self._db.read() as session:
            snapshot = session.get(Snapshot, snapshot_id)
        if snapshot is None:
            raise Unusable("The snapshot no longer exists.")
        self._finish(row, bootable=snapshot.bootable, image_metadata=snapshot.image_metadata)

    def _reimage(self, row: Volume, stop: Stop) -> None:
        task = row.task or {}
        self._building.from_image(row, str(task["image_id"]), stop)
        self._exports.reopen(row.id)  # the file is another one: who reads the old one must not go on
        with self._db.read() as session:
            servers = [a.instance_id for a in attachments_of(session, row.id) if a.instance_id]
        self._finish(row, bootable=True, image_metadata=task.get("metadata") or {})
        self._compute.tell("volume-reimaged", servers, row.id)
