"""Inputs of the steps that change a server's flavor. Source: Nova's resize; sizes as in FlavorFacts."""

from collections.abc import Iterable, Mapping

from pydantic import BaseModel

from infra.contracts.guarded import Guarded
from infra.contracts.hypervisor import DomainSpec, FlavorFacts
from infra.contracts.local_disks import LocalDisk
from infra.contracts.network import PortsOnHost
from infra.contracts.requests import Requester
from infra.contracts.volume import VolumesOnHost


class Migration(BaseModel):
    """A resize that waits to be confirmed or reverted. `request_id`: under which the host keeps the guest as it was.
    `source`: the host that keeps it, where the server went to another; "" where it stayed. `source_attempt`: of the
    claim there, 0 once it is given back."""

    id: str
    request_id: str
    old_flavor: FlavorFacts
    new_flavor: FlavorFacts
    old_vm_state: str
    old_local_disks: list[LocalDisk] = []
    source: str = ""
    source_attempt: int = 0


class ResizeClaim(BaseModel):
    """`quota`: limits in force, cores and ram; -1 is unlimited. `same_host`: the server may stay where it is.
    `carries`: what lies beside its root disk goes along. `tried`: other hosts that could not, and why."""

    instance_id: str
    requester: Requester
    migration: Migration
    quota: dict[str, int] = {}
    same_host: bool = True
    carries: bool = False
    tried: dict[str, str] = {}


class ResizeClaimed(BaseModel):
    """Where the server has its claim by now: on its own host, or on the one to which it goes."""

    host: str
    attempt: int
    zone: str = "nova"


class Leaving(Guarded):
    """A guest that goes to another host, as the one that it leaves knows it. `spec`: as its records have it, to be
    completed by ports and volumes. `runs`: whether it is to run when it is back."""

    spec: DomainSpec
    ports: PortsOnHost
    volumes: VolumesOnHost
    runs: bool


class Arriving(DomainSpec):
    """`runs`: whether it is started, or only defined."""

    runs: bool


class CarriedFiles(Guarded):
    """What lies beside a guest's root disk and goes along, in image `image_id`. `local_disks`: as they are to be on the
    host that it comes to, of which only ephemeral ones are carried."""

    image_id: str
    local_disks: list[LocalDisk] = []


class ShapeOnHost(Guarded):
    """vCPUs, memory and disks of the guest."""

    flavor: FlavorFacts
    local_disks: list[LocalDisk] = []


def carried(properties: Mapping[str, str], local_disks: Iterable[LocalDisk]) -> bool:
    """Whether a server with this image and these disks has anything beside its root disk to take along."""
    return properties.get("hw_firmware_type") == "uefi" or any(disk.kind == "ephemeral" for disk in local_disks)
