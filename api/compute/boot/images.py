"""The image and the flavor of a server to be: there, active, and fitting each other."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row
from sqlmodel import Session

from api.common.errors import ServiceError
from api.compute.boot.properties import properties_of
from api.compute.call import ComputeCall
from api.compute.errors import bad_request, forbidden
from api.compute.neighbours import neighbours
from api.compute.records import flavors
from infra.contracts.properties import is_true
from infra.openstack import IMAGE

GIB = 1 << 30


@dataclass(frozen=True)
class Needs:
    """What an image (or a bootable volume's image) demands: MiB of memory, GiB of disk, its own size in bytes, and the
    properties that a guest is made by."""

    min_ram: int = 0
    min_disk: int = 0
    size: int = 0
    properties: dict[str, str] = field(default_factory=dict)
    devices: str = ""  # JSON: the block devices of a server that the image was made of

    @classmethod
    def of(cls, facts: dict[str, Any]) -> "Needs":
        size = max(int(facts.get("size") or 0), int(facts.get("virtual_size") or 0))
        devices = str(facts.get("block_device_mapping") or "") if is_true(facts, "bdm_v2") else ""
        known = int(facts.get("min_ram") or 0), int(facts.get("min_disk") or 0)
        return cls(*known, size, properties_of(facts), devices)


def image(call: ComputeCall, image_id: str, missing: str = "Can not find requested image") -> Needs:
    """400 for an image that the caller cannot see or that is not active."""
    return Needs.of(properties(call, image_id, missing))


def properties(call: ComputeCall, image_id: str, missing: str) -> dict[str, Any]:
    """The image as its service shows it. 400 as `image`."""
    found = neighbours(call).get(
        call, IMAGE, f"/v2/images/{image_id}", good=lambda body: body.get("status") == "active"
    )
    if found is None:
        raise bad_request(missing)
    if found.get("status") != "active":
        raise bad_request(f"Image {image_id} is not active.")
    return found


def flavor(session: Session, call: ComputeCall, wanted: str) -> Row[Any]:
    """400 for a flavor that the caller cannot use; a link to one counts as its id."""
    flavor_id = wanted.rsplit("/", 1)[-1]
    try:
        return flavors.row(session, call, flavor_id)
    except ServiceError as error:
        raise bad_request(error.message) from None


def require_fit(call: ComputeCall, chosen: flavors.AnyFlavor, needs: Needs, *, local: bool) -> None:
    """400 for a flavor smaller than the image demands; 403 for a local disk of unlimited size."""
    if chosen.ram < needs.min_ram:
        raise bad_request("Flavor's memory is too small for requested image.")
    if not local:
        return
    if chosen.disk == 0:
        if not call.allows("os_compute_api:servers:create:zero_disk_flavor"):
            raise forbidden("Only volume-backed servers are allowed for flavors with zero disk.")
        return
    if needs.size > chosen.disk * GIB:
        raise bad_request(
            f"Flavor's disk is too small for requested image. Flavor disk is {chosen.disk * GIB} bytes, "
            f"image is {needs.size} bytes."
        )
    if needs.min_disk > chosen.disk:
        raise bad_request(
            "Flavor's disk is smaller than the minimum size specified in image metadata. "
            f"Flavor disk is {chosen.disk * GIB} bytes, minimum size is {needs.min_disk * GIB} bytes."
        )
