"""Inputs and results of the steps that make an image of a server's disk."""

from typing import Literal
from uuid import UUID, uuid5

from pydantic import BaseModel

from infra.contracts.guarded import Guarded
from infra.contracts.step import Done

SHELVED = "kilonova_shelved"
"""Property of the image that a shelved server waits in, or in which a disk goes to another host: it belongs to the
server, not to the tenant."""


def image_id_of(instance_id: str, request_id: str) -> str:
    """Of the image that a request makes of a server."""
    return str(uuid5(UUID(instance_id), f"image/{request_id}"))


def carried_id_of(instance_id: str, request_id: str) -> str:
    """Of the image in which a resize takes along what lies beside the root disk."""
    return str(uuid5(UUID(instance_id), f"image/{request_id}/carried"))


class ImageRef(BaseModel):
    image_id: str
    instance_id: str


class ImageToBe(ImageRef):
    """An image under the id that was chosen for it. Source: Nova's metadata of snapshots; sizes in GiB."""

    project_id: str  # "": the service's own, so that no tenant sees it
    user_id: str
    name: str
    image_type: str = "snapshot"  # or backup
    base_image_id: str = ""  # whose properties it inherits
    min_disk: int = 0
    disk_format: Literal["qcow2", "raw"] = "qcow2"
    properties: dict[str, str] = {}


class SnapshotOnHost(Guarded):
    """The file beside a guest's own that becomes image `image_id`: a flat copy of the root disk, or (tar) what else
    goes to another host."""

    image_id: str
    form: Literal["qcow2", "tar"] = "qcow2"
    quiesce: bool = False  # whether it may only be made of file systems that are held still


class Uploaded(Done):
    uploaded_bytes: int = 0


class Rotation(BaseModel):
    """Keep the newest `keep` backups of this type that the server has. `token`: of who asked; services delete no image
    that is active."""

    token: str
    instance_id: str
    project_id: str
    backup_type: str
    keep: int


class VolumeSnapshot(BaseModel):
    """`snapshot_id` is chosen beforehand: uuid5(image id, "snapshot/<volume id>")."""

    volume_id: str
    snapshot_id: str


class VolumeSnapshots(BaseModel):
    """Snapshots of a server's volumes, of one moment, that image `image_id` points to."""

    instance_id: str
    project_id: str
    image_id: str
    name: str
    volumes: list[VolumeSnapshot]
