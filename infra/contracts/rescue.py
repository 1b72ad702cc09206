"""Inputs of the steps that boot a server from another disk beside its own. Source: Nova's rescue."""

from typing import Literal

from infra.contracts.guarded import Guarded
from infra.contracts.hypervisor import DomainSpec

DEVICES: dict[str, tuple[str, ...]] = {
    "disk": ("virtio", "scsi", "sata", "ide"),
    "cdrom": ("ide", "sata", "scsi"),
}
"""hw_rescue_device → the hw_rescue_bus that a guest can have it on; the first is the default."""


class RescueDisk(Guarded):
    """`request_id`: of the rescue that it is for; another one's is not used again."""

    image_id: str = ""
    request_id: str = ""
    trusted: list[str] = []  # as of `ImageOnHost`


class RescueGuest(Guarded):
    """`spec`: the server, as its config drive tells of it. With a `device` (stable device rescue) the server's own
    disks and volumes keep their places, and the rescue disk is one more; else it is the first, the server's own root
    disk the second, and there are no volumes."""

    spec: DomainSpec
    device: Literal["", "disk", "cdrom"] = ""
    bus: str = "virtio"
