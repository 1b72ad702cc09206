"""Inputs of the steps that change a server's flavor. Source: Nova's resize; sizes as in FlavorFacts."""

from pydantic import BaseModel

from infra.contracts.guarded import Guarded
from infra.contracts.hypervisor import FlavorFacts
from infra.contracts.local_disks import LocalDisk
from infra.contracts.requests import Requester


class Migration(BaseModel):
    """A resize that waits to be confirmed or reverted. `request_id`: under which the host keeps the guest as it was."""

    id: str
    request_id: str
    old_flavor: FlavorFacts
    new_flavor: FlavorFacts
    old_vm_state: str
    old_local_disks: list[LocalDisk] = []


class ResizeClaim(BaseModel):
    """`quota`: limits in force, cores and ram; -1 is unlimited."""

    instance_id: str
    requester: Requester
    migration: Migration
    quota: dict[str, int] = {}


class ShapeOnHost(Guarded):
    """vCPUs, memory and disks of the guest."""

    flavor: FlavorFacts
    local_disks: list[LocalDisk] = []
