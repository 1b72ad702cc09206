"""Images as sources of volumes: what the caller may use, and their verified download with our own service user."""

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import requests
from keystoneauth1 import adapter
from keystoneauth1 import exceptions as ks_errors
from keystoneauth1 import session as ks_session

from api.common.context import Context
from api.common.errors import ServiceError
from api.volume.errors import invalid_input
from api.volume.files import GIB, Cancelled, SparseWriter, Unusable
from infra import logs
from infra.openstack import IMAGE, UserClient, service_session
from infra.settings import Settings
from infra.transport import Transport

CHUNK = 1 << 20
ATTEMPTS = 5
HASHES = ("sha512", "sha384", "sha256", "md5")
FIXED = ("checksum", "container_format", "disk_format", "min_disk", "min_ram", "size")
OWN = re.compile(
    r"^(id|name|status|visibility|protected|owner|owner_id|tags|file|schema|self|virtual_size|created_at|updated_at"
    r"|direct_url|locations|stores|os_hidden|os_hash_.*)$"
)
log = logs.get(__name__)


def metadata(image: dict[str, Any]) -> dict[str, Any]:
    """What a volume keeps of its image (Cinder's `volume_image_metadata`): ids, fixed fields, custom properties."""
    kept = {"image_id": image["id"], "image_name": image.get("name") or ""}
    kept |= {key: str(image[key]) for key in FIXED if image.get(key) is not None}
    return kept | {k: str(v) for k, v in image.items() if k not in FIXED and not OWN.match(k) and v is not None}


def unfit(image: dict[str, Any], size_gib: int) -> str:
    """Why the image cannot become a volume of this size; empty when it can."""
    needed = -(-max(int(image.get("size") or 0), int(image.get("virtual_size") or 0)) // GIB)
    if needed > size_gib:
        return f"Size of specified image {needed}GB is larger than volume size {size_gib}GB."
    minimum = int(image.get("min_disk") or 0)
    if minimum > size_gib:
        return f"Volume size {size_gib}GB cannot be smaller than the image minDisk size {minimum}GB."
    return ""


class Images:
    """The image service, found in the catalog."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._transport = ks_session.Session(session=Transport(), timeout=20)
        self._own: adapter.Adapter | None = None

    def check(self, caller: Context, image_id: str, size_gib: int) -> dict[str, Any]:
        """The image as the caller sees it; 400 unless it is theirs to use, active and small enough."""
        client = UserClient(self._transport, caller.token, caller.facts, self._settings)
        try:
            answer = client.get(IMAGE, f"/v2/images/{image_id}")
        except ks_errors.ClientException as error:
            raise ServiceError(503, "The image service is not reachable; try again.") from error
        if answer.status_code in (403, 404):
            raise ServiceError(400, "Invalid image identifier or unable to access requested image.")
        if answer.status_code != 200:
            raise ServiceError(503, "The image service did not answer as expected; try again.")
        image: dict[str, Any] = answer.json()
        if image["status"] != "active":
            raise invalid_input(f"Image {image_id} is not active.")
        if problem := unfit(image, size_gib):
            raise invalid_input(problem)
        return image

    def _service(self) -> adapter.Adapter:
        if self._own is None:
            self._own = adapter.Adapter(service_session(self._settings), service_type=IMAGE, interface="internal")
        return self._own

    def create(self, caller: Context, image: dict[str, Any]) -> dict[str, Any]:
        """The record of a new image, made with the caller's token; their own error when they may not."""
        client = UserClient(self._transport, caller.token, caller.facts, self._settings)
        try:
            answer = client.post(IMAGE, "/v2/images", json=image)
        except ks_errors.ClientException as error:
            raise ServiceError(503, "The image service is not reachable; try again.") from error
        if answer.status_code != 201:
            words = f"The image service refused the image ({answer.status_code})."
            raise ServiceError(answer.status_code if answer.status_code in (403, 413) else 400, words)
        made: dict[str, Any] = answer.json()
        return made

    def status(self, image_id: str) -> str:
        """The image's status, `deleted` when it is gone. Raises BrokenTransfer when the image service is away."""
        try:
            answer = self._service().get(f"/v2/images/{image_id}", raise_exc=False)
        except ks_errors.ClientException as error:
            raise BrokenTransfer from error
        if answer.status_code == 404:
            return "deleted"
        if answer.status_code != 200:
            raise BrokenTransfer
        return str(answer.json()["status"])

    def send(self, image_id: str, source: Path, cancelled: Callable[[], bool]) -> None:
        """The bytes of `source` as the image's data. Raises Cancelled, or Unusable when the service refuses them."""
        try:
            with source.open("rb") as file:
                answer = self._service().put(
                    f"/v2/images/{image_id}/file",
                    data=_chunks(file, cancelled),
                    headers={"Content-Type": "application/octet-stream"},
                    raise_exc=False,
                    connect_retries=0,
                )
        except (ks_errors.ClientException, requests.RequestException) as error:
            raise BrokenTransfer from error
        if answer.status_code >= 500:
            raise BrokenTransfer
        if answer.status_code not in (200, 204):
            raise Unusable(f"The image service refused the image's data ({answer.status_code}).")

    def delete(self, caller: Context, image_id: str) -> None:
        """With the owner's token. Absent is success; a service that is away keeps a queued image."""
        client = UserClient(self._transport, caller.token, caller.facts, self._settings)
        try:
            client.delete(IMAGE, f"/v2/images/{image_id}")
        except ks_errors.ClientException as error:
            log.warning("image not deleted", image_id=image_id, error=type(error).__name__)

    def download(
        self, image_id: str, target: Path, cancelled: Callable[[], bool], late: float = float("inf")
    ) -> dict[str, Any]:
        """Stream the image into `target` and compare its checksum; the image's record.

        `late`: moment of the monotonic clock after which it is given up.

        A broken transfer is tried again, with back-off. Raises Unusable (hopeless) or Cancelled."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                image = self._record(image_id)
                self._stream(image, target, cancelled, late)
                return image
            except (ks_errors.ClientException, requests.RequestException, BrokenTransfer) as error:
                log.warning("image download failed", image_id=image_id, attempt=attempt, error=type(error).__name__)
                if attempt == ATTEMPTS:
                    raise Unusable("The image could not be downloaded from the image service.") from error
            for _ in range(2**attempt):
                if cancelled():
                    raise Cancelled
                time.sleep(0.25)
        raise AssertionError("unreachable")

    def _record(self, image_id: str) -> dict[str, Any]:
        answer = self._service().get(f"/v2/images/{image_id}", raise_exc=False)
        if answer.status_code == 404:
            raise Unusable(f"Image {image_id} no longer exists.")
        answer.raise_for_status()
        image: dict[str, Any] = answer.json()
        return image

    def _stream(self, image: dict[str, Any], target: Path, cancelled: Callable[[], bool], late: float) -> None:
        algorithm = image.get("os_hash_algo") if image.get("os_hash_value") else "md5"
        if algorithm not in HASHES:
            raise Unusable("The image's checksum is of an unknown kind.")
        expected = image.get("os_hash_value") or image.get("checksum")
        if not expected:
            raise Unusable("The image has no checksum.")
        digest, length = hashlib.new(str(algorithm), usedforsecurity=False), 0
        writer = SparseWriter(target)
        try:
            answer = self._service().get(f"/v2/images/{image['id']}/file", stream=True, headers={"Accept": "*/*"})
            with answer:
                for chunk in answer.iter_content(CHUNK):
                    if cancelled():
                        raise Cancelled
                    if time.monotonic() > late:
                        raise Unusable("The image's download took longer than its limit.")
                    digest.update(chunk)
                    length += len(chunk)
                    writer.write(chunk)
            writer.close(length)
        finally:
            writer.abandon()
        if length != int(image.get("size") or length):
            raise BrokenTransfer
        if digest.hexdigest() != expected:
            raise Unusable("The image's checksum does not match its data.")


def _chunks(file: BinaryIO, cancelled: Callable[[], bool]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        if cancelled():
            raise Cancelled
        yield chunk


class BrokenTransfer(Exception):
    """The stream ended before the image did."""
