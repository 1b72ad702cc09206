"""Keeps what the storage daemon exports equal to the attachments, whatever happens to the daemon or to us."""

import threading
import time
from contextlib import suppress
from typing import Any

from sqlalchemy import bindparam
from sqlalchemy import select as core_select
from sqlmodel import col, select

from api.volume.files import Files
from api.volume.records import follow, its_attachments, one
from infra import logs
from infra.database import Database
from infra.nbd import Export, QmpDown, QmpError, QmpUnreachable, StorageDaemon, attachment_of
from infra.settings import Settings
from infra.tables.volume import Attachment
from infra.volume_doors import Doors

CHECK_S = 2.0
PATIENCE_S = 5.0
EXPORTED = ("attaching", "attached")
log = logs.get(__name__)
_of = Attachment.__table__  # type: ignore[attr-defined]
ONE = core_select(_of).where(_of.c.id == bindparam("attachment"))
OVER = _of.delete().where(_of.c.id == bindparam("attachment"), _of.c.status == "detaching")


def export_name(attachment: Attachment) -> str:
    return f"volume-{attachment.volume_id}-{attachment.secret}"


def exported(attachment: Attachment) -> bool:
    """Only what a host has, or is about to have, can be reached."""
    return attachment.status in EXPORTED and bool((attachment.connector or {}).get("host"))


def _door(attachment: Attachment) -> tuple[str, str]:
    """What the attachment's door leads to, and for which host."""
    return export_name(attachment), str((attachment.connector or {}).get("host"))


class Exports:
    """A thread compares every `CHECK_S` seconds; attach and detach do their part at once."""

    def __init__(self, settings: Settings, db: Database, files: Files, daemon: StorageDaemon) -> None:
        self._db, self._files, self._daemon, self._doors = db, files, daemon, Doors(settings)
        self._remote = {"host": settings.nbd_address, "port": settings.port("nbd"), "tls": True}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="volume-exports", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)

    def connection(self, attachment: Attachment) -> dict[str, Any]:
        """How a host reaches the volume, for os-brick's reader: flat as Cinder's attachment API gives it, and once
        more under `data`. The export's name is a secret."""
        server = self._remote if self._remote["host"] else {"socket": self._doors.connection(attachment.id)}
        data = server | {
            "export": export_name(attachment),
            "volume_id": attachment.volume_id,
            "attachment_id": attachment.id,
            "access_mode": attachment.mode,
            "encrypted": False,
            "qos_specs": None,
            "discard": True,
        }
        return {"driver_volume_type": "nbd", **data, "data": data}

    def ensure(self, attachment_id: str) -> None:
        """Export now, unless the attachment is being removed; waits some seconds for a daemon that is being restarted,
        then raises QmpUnreachable or QmpError."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                with self._daemon.lock:
                    row = self._attachment(attachment_id)
                    if row is not None and exported(row):
                        self._daemon.export(self.wanted(row))
                        self._doors.open(row.id, *_door(row))
                return
            except (QmpUnreachable, QmpError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def reopen(self, volume_id: str) -> list[str]:
        """Export the volume's file anew, under the same names, so that clients which connect again see its present size
        and bytes; the servers that have it. QmpUnreachable: the daemon hangs. One that is down exports the file as it
        is when it comes back."""
        with self._daemon.lock, self._db.read() as session:
            found = session.exec(select(Attachment).where(Attachment.volume_id == volume_id)).all()
            rows = [row for row in found if exported(row)]
            try:
                for row in rows:
                    self._daemon.unexport(self.wanted(row).id)
                for row in rows:
                    self._daemon.export(self.wanted(row))
            except QmpDown:
                log.info("the storage daemon is not running; it will export the file as it is", volume_id=volume_id)
        return [row.instance_id for row in rows if row.instance_id and row.status == "attached"]

    def detach(self, attachment_id: str) -> None:
        """As `finish`, of an attachment that may be gone by now."""
        attachment = self._attachment(attachment_id)
        if attachment is not None and attachment.status == "detaching":
            self.finish(attachment)

    def _attachment(self, attachment_id: str) -> Attachment | None:
        with self._db.look() as store:
            found = store.execute(ONE, {"attachment": attachment_id}).first()
        return Attachment(**found._mapping) if found else None

    def finish(self, attachment: Attachment) -> list[Attachment]:
        """End the export of an attachment that is `detaching`, then forget it; the volume's other attachments.
        QmpUnreachable: the daemon hangs, and the watch will finish this later."""
        self.end(self.wanted(attachment).id)
        with self._db.transaction() as store:
            volume = one(store, attachment.volume_id, lock=True)
            store.execute(OVER, {"attachment": attachment.id})
            rest = its_attachments(store, attachment.volume_id)
            if volume:
                follow(store, volume, rest)
            return rest

    def end(self, export_id: str) -> None:
        """Cut off whoever uses this export."""
        try:
            self._daemon.unexport(export_id)
        except QmpDown:
            log.info("the storage daemon is not running, so it exports nothing", export=export_id)
        self._doors.close(attachment_of(export_id))

    def answer(self) -> bool:
        """Whether guests can reach volumes now."""
        try:
            self._daemon.exports()
            self._doors.all()
        except QmpUnreachable:
            return False
        return True

    def reconcile(self) -> None:
        """Finish detaches, add missing exports, end those that no attachment asks for."""
        with self._db.read() as session:
            leaving = session.exec(select(Attachment.id).where(Attachment.status == "detaching")).all()
        for attachment_id in leaving:
            self.detach(attachment_id)
        with self._daemon.lock:
            with self._db.read() as session:
                rows = session.exec(select(Attachment).where(col(Attachment.status).in_(EXPORTED))).all()
            wanted = {export.id: export for export in map(self.wanted, filter(exported, rows))}
            present = self._daemon.exports()
            for export_id in present - wanted.keys():
                self._daemon.unexport(export_id)
            for export_id in wanted.keys() - present:
                self._restore(wanted[export_id])
            self._open_doors({row.id: _door(row) for row in filter(exported, rows)})

    def _open_doors(self, wanted: dict[str, tuple[str, str]]) -> None:
        """All that are wanted; and none else."""
        present = self._doors.all()
        for attachment_id in present.keys() - wanted.keys():
            self._doors.close(attachment_id)
        for attachment_id, door in wanted.items():
            if present.get(attachment_id) != door:
                self._doors.open(attachment_id, *door)

    def _restore(self, export: Export) -> None:
        try:
            self._daemon.export(export)
            log.info("export restored", attachment_id=export.attachment_id, volume_id=export.volume_id)
        except QmpError as error:
            log.error("export refused", attachment_id=export.attachment_id, error=str(error))

    def wanted(self, attachment: Attachment) -> Export:
        path = self._files.volume(attachment.volume_id)
        name, writable = export_name(attachment), attachment.mode == "rw"
        return Export(attachment.id, attachment.volume_id, name, path, writable)

    def _watch(self) -> None:
        down = failing = False
        while not self._stop.is_set():
            try:
                self.reconcile()
                down = failing = False
            except QmpUnreachable as error:
                if not down:
                    log.warning("storage daemon unreachable", error=str(error))
                down = True
            except Exception as error:
                log.error("export watch failed", error=str(error)[:400], exc_info=None if failing else error)
                failing = True
            self._rest(down)

    def _rest(self, down: bool) -> None:
        """Until the next comparison. A daemon that was down is looked for more often, which asks the store nothing."""
        looks = 10 if down else 1
        for _ in range(looks):
            if self._stop.wait(CHECK_S / looks):
                return
            with suppress(Exception):  # the comparison tells of it
                if down and self.answer():
                    return
