"""Images as the service user makes them for a project. Source: Image API v2."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keystoneauth1.session import Session

from infra.contracts.errors import hopeless, refused
from infra.contracts.snapshot import SHELVED, ImageToBe, Rotation
from infra.host.files.download import Progress
from infra.host.services.rest import Service, Unexpected, words
from infra.interruption import still_wanted
from infra.openstack import IMAGE

CHUNK = 1 << 20
NOT_INHERITED = frozenset(
    (
        "id", "name", "status", "visibility", "protected", "os_hidden", "checksum", "os_hash_algo", "os_hash_value",
        "owner", "size", "virtual_size", "container_format", "disk_format", "min_disk", "min_ram", "created_at",
        "updated_at", "tags", "self", "file", "schema", "locations", "direct_url", "stores",
        "owner_specified.openstack.md5",
        "owner_specified.openstack.sha256", "owner_specified.openstack.object", "img_signature",
        "img_signature_hash_method", "img_signature_certificate_uuid", "img_signature_key_type", "cache_in_nova",
        "bittorrent", SHELVED,
    )
)  # fmt: skip
"""What an image does not hand on to a snapshot of a server that was booted from it."""


class Images:
    """Each method may be repeated. Failures are sorted as `Service` does."""

    def __init__(self, session: Session, region: str) -> None:
        self._session, self._api = session, Service(session, IMAGE, "/v2", region)

    def get(self, image_id: str) -> dict[str, Any] | None:
        answer = self._api.ask("GET", f"/images/{image_id}", 200, 404)
        return dict(answer.json()) if answer.status_code == 200 else None

    def ensure(self, want: ImageToBe) -> None:
        """The record of an image that is to come, in the project's name; one under this id stays as it is."""
        base = (self.get(want.base_image_id) if want.base_image_id else None) or {}
        body: dict[str, Any] = {
            name: value for name, value in base.items() if name not in NOT_INHERITED and isinstance(value, str)
        }
        body |= {**want.properties, **_about(want)}
        body |= {
            "id": want.image_id,
            "name": want.name,
            "visibility": "private",
            "disk_format": want.disk_format,
            "container_format": "bare",
            "min_ram": int(base.get("min_ram") or 0),
            "min_disk": max(int(base.get("min_disk") or 0), want.min_disk),
        }
        if want.project_id:
            body["owner"] = want.project_id
        answer = self._api.request("POST", "/images", json=body)
        if answer.status_code == 201:
            return
        if answer.status_code == 409:
            found = self.get(want.image_id)
            if found is not None and found.get("instance_uuid") == want.instance_id:
                return
        if answer.status_code in (400, 403, 413):
            raise hopeless(words(answer)[1] or "The image service refused.", code=answer.status_code)
        raise self._api.unexpected(answer)

    def upload(self, image_id: str, file: Path, progress: Progress) -> int:
        """Send the whole file; its size in bytes. An image that has its data already is left alone.

        An upload that broke off leaves the image `queued`, sooner or later: until then Unexpected. Hopeless when the
        image is gone."""
        size = file.stat().st_size
        status = self._status(image_id)
        if status != "active":
            if status != "queued":
                raise Unexpected(f"image {image_id} is still {status}")
            self._send(image_id, file, progress)
        found = self.get(image_id) or {}
        if found.get("status") != "active":
            raise Unexpected(f"image {image_id} is {found.get('status', 'gone')} after its upload")
        if found.get("size") != size:
            raise refused(IMAGE, f"image {image_id} has {found.get('size')} of {size} bytes", code=409)
        return size

    def fill_empty(self, image_id: str) -> None:
        """Make an image active that has no data: what it is made of, its properties say. Hopeless when it is gone."""
        if self._status(image_id) == "active":
            return
        answer = self._api.request(
            "PUT", f"/images/{image_id}/file", data=b"", headers={"Content-Type": "application/octet-stream"}
        )
        if answer.status_code != 204 and self._status(image_id) != "active":
            raise self._api.unexpected(answer)

    def is_active(self, image_id: str) -> bool:
        return (self.get(image_id) or {}).get("status") == "active"

    def drop(self, image_id: str) -> None:
        """Delete an image that has not become active, or that belongs to its server; any other that has is
        somebody's by now, and so is one that its owner protects. Absent is success."""
        found = self.get(image_id)
        if found is not None and (found.get("status") != "active" or SHELVED in found):
            self._api.ask("DELETE", f"/images/{image_id}", 204, 403, 404)

    def require(self, image_id: str) -> None:
        """Hopeless (409) unless the image is there with all its data."""
        if self._status(image_id) != "active":
            raise hopeless(f"Image {image_id} is not active.", code=409)

    def rotate(self, want: Rotation) -> None:
        """Delete the oldest backups beyond those to keep, in the name of who asked; a protected one stays.

        Beside a service's token Keystone accepts a user's that has expired meanwhile."""
        query = {
            "image_type": "backup",
            "backup_type": want.backup_type,
            "instance_uuid": want.instance_id,
            "owner": want.project_id,
            "status": "active",
            "sort": "created_at:desc",
            "limit": "1000",
        }
        found = self._api.ask("GET", "/images", params=query).json()["images"]
        for image in found[want.keep :]:
            tokens = {"X-Auth-Token": want.token, "X-Service-Token": str(self._session.get_token())}
            path = f"/images/{image['id']}"
            answer = self._api.request("DELETE", path, headers=tokens, authenticated=False)
            if answer.status_code == 401:
                raise hopeless(
                    "The oldest backups were not deleted: the token that asked for it was revoked.", code=401
                )
            if answer.status_code not in (204, 403, 404):
                raise self._api.unexpected(answer)

    def _status(self, image_id: str) -> str:
        found = self.get(image_id)
        if found is None:
            raise hopeless(f"Image {image_id} could not be found.", code=404)
        return str(found["status"])

    def _send(self, image_id: str, file: Path, progress: Progress) -> None:
        """A body is read once: keystoneauth must not send the rest of it again after a 401 or a broken connection."""
        answer = self._api.request(
            "PUT",
            f"/images/{image_id}/file",
            data=_chunks(file, progress),
            headers={
                "Content-Type": "application/octet-stream",
                "x-openstack-image-size": str(file.stat().st_size),
            },
            allow_reauth=False,
            connect_retries=0,
            timeout=600,
        )
        if answer.status_code == 401:
            self._session.invalidate()
        if answer.status_code not in (200, 204) and answer.status_code != 409:
            raise self._api.unexpected(answer)


def _chunks(file: Path, progress: Progress) -> Iterator[bytes]:
    """A request that is sent again begins anew, and so does the count."""
    progress.bytes, progress.of = 0, file.stat().st_size
    with file.open("rb") as data:
        while chunk := data.read(CHUNK):
            still_wanted()
            yield chunk
            progress.bytes += len(chunk)


def _about(want: ImageToBe) -> dict[str, str]:
    asked = None if want.image_type == "backup" else want.properties.get("image_type")
    known = {
        "image_type": want.image_type if asked in (None, "backup") else asked,
        "instance_uuid": want.instance_id,
        "user_id": want.user_id,
        "owner_id": want.project_id,
        "image_location": "snapshot",
        "image_state": "available",
        "base_image_ref": want.base_image_id,
    }
    return {name: value for name, value in known.items() if value}
