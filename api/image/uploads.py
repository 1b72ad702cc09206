"""The life of an upload: queued, saving while the bytes come, active when all of them are there; else queued again."""

import uuid
from dataclasses import dataclass

from sqlmodel import col, select

from api.common.errors import ServiceError
from api.image.access import Access
from api.image.errors import conflict, invalid
from api.image.files import Files, Partial
from api.image.inspection import virtual_size
from infra import logs
from infra.database import Database
from infra.tables.image import Image, now

log = logs.get(__name__)


@dataclass
class Upload:
    """One upload under way. `staging` data is kept aside until it is imported."""

    image_id: str
    upload_id: str
    partial: Partial
    staging: bool
    disk_format: str | None
    container_format: str | None


class Uploads:
    """Each step is one transaction together with its change on disk; what a killed process left is undone by
    `recover`. Everything here blocks."""

    def __init__(self, db: Database, files: Files) -> None:
        self._db, self._files = db, files

    def begin(self, asked: Access, image_id: str, *, staging: bool = False) -> Upload:
        """Take the queued image; 409 when it is not queued, 400 when its formats are not set, 403, 404."""
        upload: Upload | None = None
        try:
            with self._db.write() as session:
                image = asked.change(session, image_id, "upload_image")
                status = "uploading" if staging else "saving"
                if image.status != "queued":
                    raise conflict(f"Image status transition from {image.status} to {status} is not allowed")
                if not staging:
                    _require_formats(image)
                upload_id = str(uuid.uuid4())
                partial = self._files.partial(image.id, upload_id)
                upload = Upload(image.id, upload_id, partial, staging, image.disk_format, image.container_format)
                image.status, image.upload_id, image.updated_at = status, upload_id, now()
        except BaseException:
            if upload:
                upload.partial.close()
            raise
        return upload

    def finish(self, upload: Upload) -> None:
        """Check what came and make it the image's data; 415 for content of another format or one that is not safe,
        410 when the image was deleted meanwhile. Then, as after any error, `abandon` has to be called."""
        upload.partial.sync()
        virtual = None
        if not upload.staging:
            virtual = virtual_size(upload.partial.path, upload.disk_format, upload.container_format)
        with self._db.write() as session:
            image = session.get(Image, upload.image_id, with_for_update=True)
            if image is None or image.upload_id != upload.upload_id:
                raise ServiceError(410, f"Image {upload.image_id} was deleted while its data was uploaded.")
            image.size, image.virtual_size = upload.partial.size, virtual
            image.checksum = upload.partial.checksum
            image.os_hash_algo, image.os_hash_value = "sha512", upload.partial.sha512
            image.upload_id, image.updated_at = None, now()
            if upload.staging:
                upload.partial.move_to(self._files.staged(image.id))
            else:
                image.status = "active"
                upload.partial.move_to(self._files.data(image.id))
        upload.partial.close()

    def abandon(self, upload: Upload) -> None:
        """Undo of `begin`: no file is left, and the image is queued again. Safe after `finish`, and twice."""
        upload.partial.close()
        with self._db.write() as session:
            image = session.get(Image, upload.image_id, with_for_update=True)
            if image is not None and image.upload_id == upload.upload_id:
                self._files.remove(image.id)
                image.status, image.upload_id, image.updated_at = "queued", None, now()

    def import_staged(self, asked: Access, image_id: str) -> None:
        """Make staged data the image's own (method glance-direct); 409 when there is none or it still comes."""
        with self._db.write() as session:
            image = asked.change(session, image_id, "upload_image")
            staged = self._files.staged(image.id)
            if image.status != "uploading" or image.upload_id or not staged.exists():
                raise conflict("Only an image in status 'uploading' whose data is staged can be imported.")
            _require_formats(image)
            image.virtual_size = virtual_size(staged, image.disk_format, image.container_format)
            image.status, image.updated_at = "active", now()
            staged.replace(self._files.data(image.id))

    def unstage(self, asked: Access, image_id: str) -> None:
        """Undo of a staging; 409 when nothing is staged."""
        with self._db.write() as session:
            image = asked.change(session, image_id, "upload_image")
            if image.status != "uploading" or image.upload_id:
                raise conflict("Only an image in status 'uploading' whose data is staged can be unstaged.")
            self._files.staged(image.id).unlink(missing_ok=True)
            image.status, image.updated_at = "queued", now()

    def remove(self, asked: Access, image_id: str) -> None:
        """Delete an image and its data; a running upload or download of it ends by itself. 403 when protected."""
        with self._db.write() as session:
            image = asked.change(session, image_id, "delete_image")
            if image.protected:
                raise ServiceError(403, f"Image {image.id} is protected and cannot be deleted.")
            session.delete(image)
        self._files.remove(image.id)

    def recover(self) -> None:
        """Undo what killed processes left: partial files, images that nobody finishes, data without an image."""
        for upload_id, path in self._files.dead_partials():
            log.warning("removing a dead upload", upload_id=upload_id)
            path.unlink(missing_ok=True)
        live = self._files.live_uploads()
        with self._db.write() as session:
            for image in session.exec(select(Image).where(col(Image.upload_id).is_not(None)).with_for_update()):
                if image.upload_id not in live:
                    self._files.remove(image.id)
                    image.status, image.upload_id = "queued", None
        for image_id in self._files.images():
            with self._db.write() as session:
                known = session.get(Image, image_id, with_for_update=True)
                if known is None or known.status == "queued":
                    log.warning("removing data without an image", image_id=image_id)
                    self._files.remove(image_id)
                elif known.status == "uploading" and self._files.data(image_id).exists():
                    self._files.data(image_id).replace(self._files.staged(image_id))


def _require_formats(image: Image) -> None:
    missing = [name for name in ("disk_format", "container_format") if getattr(image, name) is None]
    if missing:
        raise invalid(f"Properties {', '.join(missing)} must be set prior to saving data.")
