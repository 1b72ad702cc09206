"""Image bytes from Glance: resumed where they ended, checksum verified over every byte (seed steps 20-22)."""

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.contracts.errors import hopeless
from infra.host.services.rest import Service, Unexpected
from infra.interruption import still_wanted

CHUNK = 1 << 20


@dataclass
class Progress:
    """Bytes of an image that were moved so far, of how many (0 while that is unknown), and how many of them this call
    has fetched. Its details are what the step's heartbeats say: `infra.contracts.step.moved` reads them."""

    image_id: str
    bytes: int = 0
    fetched: int = 0
    of: int = 0

    def details(self) -> tuple[Any, ...]:
        return ({"image_id": self.image_id, "bytes": self.bytes, "of": self.of},)


@dataclass(frozen=True)
class ImageFacts:
    """What Glance says of an image. Source: Image API v2, GET /v2/images/{id}."""

    id: str
    size: int
    algorithm: str
    digest: str


def describe(glance: Service, image_id: str) -> ImageFacts:
    """Raises Hopeless, in Nova's words, for an image that is gone, not active, or cannot be verified."""
    answer = glance.request("GET", f"/images/{image_id}")
    if answer.status_code == 404:
        raise gone(image_id)
    if answer.status_code != 200:
        raise glance.unexpected(answer)
    image = answer.json()
    if image["status"] != "active":
        raise hopeless(f"Image {image_id} is not active.", code=400)
    algorithm, digest = image.get("os_hash_algo"), image.get("os_hash_value")
    if not digest or algorithm not in hashlib.algorithms_available:
        algorithm, digest = "md5", image.get("checksum")
    if not digest:
        raise unacceptable(image_id, "it has no checksum")
    return ImageFacts(image_id, int(image["size"]), algorithm, digest)


def gone(image_id: str) -> Exception:
    return hopeless(f"Image {image_id} could not be found.", code=404)


def unacceptable(image_id: str, reason: str) -> Exception:
    return hopeless(f"Image {image_id} is unacceptable: {reason}", code=400)


def download(glance: Service, image: ImageFacts, part: Path, progress: Progress) -> None:
    """Complete `part` until it is the image, byte for byte, and durable.

    Safe to repeat: what `part` holds is hashed again, never fetched again. Raises Hopeless when even a download
    from the first byte does not match, OSError when the disk is full, others when Glance fails in between."""
    while True:
        resumed = part.exists() and part.stat().st_size > 0
        if _receive(glance, image, part, progress) == image.digest:
            return
        part.unlink()
        if not resumed:
            raise unacceptable(image.id, "its bytes do not match its checksum")


def _receive(glance: Service, image: ImageFacts, part: Path, progress: Progress) -> str:
    """Append what is missing; digest of the whole."""
    progress.of = image.size
    with part.open("a+b") as out:
        hasher = _hash_existing(out, image, progress)
        if progress.bytes < image.size:
            with contextlib.closing(_open(glance, image.id, progress.bytes)) as answer:
                if answer.status_code == 200 and progress.bytes:  # Range was ignored
                    out.truncate(0)
                    hasher, progress.bytes = hashlib.new(image.algorithm), 0
                for chunk in answer.iter_content(CHUNK):
                    out.write(chunk)
                    out.flush()
                    hasher.update(chunk)
                    progress.bytes += len(chunk)
                    progress.fetched += len(chunk)
                    still_wanted()
                    if progress.bytes > image.size:
                        break
        if progress.bytes < image.size:
            raise Unexpected(f"image {image.id}: {progress.bytes} of {image.size} bytes arrived")
        os.fsync(out.fileno())
    return str(hasher.hexdigest())


def _hash_existing(out: Any, image: ImageFacts, progress: Progress) -> Any:
    hasher = hashlib.new(image.algorithm)
    progress.bytes = 0
    out.seek(0)
    while chunk := out.read(CHUNK):
        still_wanted()
        hasher.update(chunk)
        progress.bytes += len(chunk)
    return hasher


def _open(glance: Service, image_id: str, offset: int) -> Any:
    headers = {"Accept": "application/octet-stream", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    answer = glance.request("GET", f"/images/{image_id}/file", headers=headers, stream=True)
    if answer.status_code == 404:
        raise gone(image_id)
    if answer.status_code == 204:
        raise unacceptable(image_id, "it has no data")
    if answer.status_code == 206:
        begins = f"bytes {offset}-"
        if not answer.headers.get("Content-Range", begins).startswith(begins):
            raise Unexpected(f"image {image_id}: another range than asked arrived")
    elif answer.status_code != 200:
        raise glance.unexpected(answer)
    return answer
