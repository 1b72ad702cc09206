"""Volumes of an instance: made where asked, attached, connected to the host (seed steps 26-28)."""

from typing import TYPE_CHECKING

from pydantic import BaseModel
from temporalio import activity

from activities.step import Done

if TYPE_CHECKING:
    from infra.hypervisor.volumes import VolumeConnector


class VolumeRequest(BaseModel):
    """One volume. Ids are chosen beforehand: uuid5(instance_id, "volume/<n>") and uuid5(…, "attachment/<n>")."""

    volume_id: str
    attachment_id: str
    create: bool = False  # make the volume first (block device mapping source image, snapshot, volume or blank)
    size_gb: int = 0
    image_id: str | None = None
    snapshot_id: str | None = None
    source_volume_id: str | None = None
    boot_index: int | None = None
    device: str | None = None
    delete_on_termination: bool = False
    tag: str | None = None


class VolumesOnHost(BaseModel):
    instance_id: str
    project_id: str
    volumes: list[VolumeRequest]
    deleting: bool = False  # the server is deleted: `delete_on_termination` decides over volumes made for it


class VolumeConnection(BaseModel):
    """How QEMU reaches an attached volume; `export` carries the attachment's secret."""

    volume_id: str
    attachment_id: str
    driver: str = "nbd"
    host: str = ""
    port: int = 0
    export: str = ""
    boot_index: int | None = None
    device: str = ""  # vdb, vdc, …
    delete_on_termination: bool = False
    tag: str | None = None


class Attached(Done):
    volumes: list[VolumeConnection] = []


class Volume:
    """Runs on the queue of the chosen host."""

    def __init__(self, connector: "VolumeConnector") -> None:
        self._connector = connector

    @activity.defn
    def attach_volumes(self, want: VolumesOnHost) -> Attached:
        """Create what is to be created, reserve each attachment, connect it to this host.

        Idempotent by the ids chosen beforehand. Raises Hopeless for a volume that is gone, in use or in error."""
        return self._connector.attach(want, activity.heartbeat)

    @activity.defn
    def detach_volumes(self, want: VolumesOnHost) -> None:
        """Undo of `attach_volumes`: attachments end; a volume made for this instance goes too (always when the build
        fails; by `delete_on_termination` when the server is deleted)."""
        self._connector.detach(want, activity.heartbeat)
