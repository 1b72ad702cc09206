"""Inputs and results of the volume steps."""

from collections.abc import Mapping
from uuid import UUID, uuid5

from pydantic import BaseModel

from infra.contracts.guarded import Guarded
from infra.contracts.step import Done

MADE_FOR, GOES_WITH_IT = "kilonova:made_for", "kilonova:delete_on_termination"
"""Metadata of a volume that a build made: its server's id; whether it is to go with the server."""
COMPLETE_TOO = "Kilonova-Complete"
"""Header of a request that connects an attachment: complete it as well. Cinder passes over it, and the answer's status
tells whether that was done."""


def bus_of_volume(properties: Mapping[str, str], asked: str | None = None) -> str:
    """As asked, else as the server's image has it, where a volume can be on that: QEMU takes disks on SATA and IDE only
    with its command line, which must not tell the names of exports."""
    return asked or ("scsi" if properties.get("hw_disk_bus") == "scsi" else "")


def attached_id(instance_id: str, request_id: str, volume_id: str) -> str:
    """Of the attachment that a request to attach this volume, or to swap another one for it, leads to."""
    return str(uuid5(UUID(instance_id), f"{request_id}/{volume_id}"))


def parted_id(instance_id: str, volume_id: str) -> str:
    """Of the attachment that keeps a volume for its server while the other one is made anew without a host."""
    return str(uuid5(UUID(instance_id), f"parted/{volume_id}"))


class VolumeRequest(BaseModel):
    """One volume. Ids are chosen beforehand: uuid5(instance_id, "volume/<n>") and uuid5(…, "attachment/<n>")."""

    volume_id: str
    attachment_id: str  # "": it has none, and is only to be deleted
    create: bool = False  # make the volume first (block device mapping source image, snapshot, volume or blank)
    size_gb: int = 0
    image_id: str | None = None
    snapshot_id: str | None = None
    boot_index: int | None = None
    device: str | None = None
    delete_on_termination: bool = False
    tag: str | None = None
    bus: str = ""  # virtio or scsi; "": virtio
    volume_type: str = ""  # id of the type that it is made of; "": its source's, or the project's default


class VolumesOnHost(BaseModel):
    instance_id: str
    project_id: str
    volumes: list[VolumeRequest]
    attempt: int = 0  # of the claim that attaching needs, or under which another host's attachment ends; 0: none
    deleting: bool = False  # the server is deleted: `delete_on_termination` decides over volumes made for it
    held: bool = False  # the server has them: an attachment that was ended behind its back is not made anew


class VolumeConnection(BaseModel):
    """How QEMU reaches an attached volume; `export` carries the attachment's secret."""

    volume_id: str
    attachment_id: str
    driver: str = "nbd"
    host: str = ""
    port: int = 0
    socket: str = ""  # path of a UNIX socket on this host, in place of host and port
    tls: bool = False
    export: str = ""
    boot_index: int | None = None
    device: str = ""  # vdb, vdc, …
    delete_on_termination: bool = False
    tag: str | None = None
    bus: str = ""


class Attached(Done):
    volumes: list[VolumeConnection] = []


class DiskOnGuest(Guarded):
    """One attached volume, and the guest that is to have it, or not to have it any more."""

    volume: VolumeConnection


class VolumeOnGuest(Guarded):
    """One volume that the host is to attach and the guest is to have, or neither any more."""

    project_id: str
    volume: VolumeRequest

    @property
    def on_host(self) -> VolumesOnHost:
        return VolumesOnHost(
            instance_id=self.instance_id, project_id=self.project_id, volumes=[self.volume], attempt=self.attempt
        )


class DiskSize(Guarded):
    """The size that a volume of the guest has by now. `device`: the name of its disk, whose serial is of the volume
    that it had when it was put in; "" where that is not known."""

    volume_id: str
    size_gb: int
    device: str = ""


class DiskSwap(Guarded):
    """The guest's disk on `old` is to be on `new`, with the same bytes. Both are attached, and have the same device."""

    old: VolumeConnection
    new: VolumeConnection


class VolumeHeld(BaseModel):
    instance_id: str
    volume_id: str


class VolumeSeen(Done):
    size_gb: int = 0


class VolumeReimage(BaseModel):
    """The image that is to be written over a volume of the instance, which is on no host meanwhile."""

    instance_id: str
    volume_id: str
    image_id: str
    attachment_id: str = ""  # by which the instance has the volume reserved; "": not told


class VolumeMark(BaseModel):
    """Whether a volume that was made for the instance `goes` with it, and whether it `went` before this change."""

    instance_id: str
    volume_id: str
    goes: bool
    went: bool
