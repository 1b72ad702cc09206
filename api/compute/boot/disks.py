"""The disks of a server to be, from imageRef and block_device_mapping_v2 (Compute API reference, "Create server")."""

from dataclasses import dataclass, field, replace
from typing import Any

from api.common.parsers import is_uuid
from api.compute import limits
from api.compute.boot.buses import INVALID, require_bus
from api.compute.boot.image_devices import with_image
from api.compute.boot.images import Needs, image
from api.compute.boot.properties import properties_of
from api.compute.boot.volume_types import with_types
from api.compute.call import ComputeCall
from api.compute.errors import bad_request, forbidden
from api.compute.neighbours import neighbours, volume
from api.compute.schemas.servers import Disk, ServerCreate
from infra.contracts.local_disks import LocalDisk
from infra.contracts.volume import bus_of_volume
from infra.openstack import VOLUME

DEVICES = 26
"""Names for disks of a server: vda to vdz."""
SEQUENCE = "Boot sequence for the instance and image/block device mapping combination is not valid."


@dataclass(frozen=True)
class DiskPlan:
    """A volume of the server: an existing one, or one to make from an image, a snapshot or nothing. Size in GiB."""

    boot_index: int | None
    volume_id: str | None = None
    size_gb: int = 0
    image_id: str | None = None
    snapshot_id: str | None = None
    device: str | None = None
    delete_on_termination: bool = False
    tag: str | None = None
    bus: str = ""
    volume_type: str = ""
    needs: Needs = field(default_factory=Needs)


@dataclass(frozen=True)
class Disks:
    """`image_id` is "" when the server boots from a volume; `needs` is of whatever it boots from. `blank`: entries of
    disks that the host makes, `local`: what comes of them and of the flavor (`boot.local_disks`)."""

    image_id: str
    needs: Needs
    volumes: tuple[DiskPlan, ...] = ()
    blank: tuple[Disk, ...] = ()
    local: tuple[LocalDisk, ...] = ()


def disks(call: ComputeCall, wish: ServerCreate) -> Disks:
    """400 in Nova's words for a combination that cannot boot, and for unknown images, volumes and snapshots."""
    if wish.block_device_mapping:
        raise bad_request("The block_device_mapping syntax is not supported; use block_device_mapping_v2.")
    needs = image(call, str(wish.image_ref)) if wish.image_ref else Needs()
    entries = [entry for entry in with_image(wish, needs) if entry.no_device in (None, False, "")]
    if entries:
        call.enforce("os_compute_api:servers:create:attach_volume")
    if not wish.image_ref and not entries:
        raise bad_request("Invalid imageRef provided.")
    blank = tuple(entry for entry in entries if _is_blank(entry))
    plans = [plan for plan in (_plan(entry, wish) for entry in entries) if plan is not None]
    if len(plans) > limits.DISKS:
        raise forbidden(limits.DISKS_WORDS)
    if max(wish.min_count, wish.max_count or 1) > 1 and any(plan.volume_id for plan in plans):
        raise bad_request("Cannot attach one or more volumes to multiple instances")
    asked = [*(plan.boot_index for plan in plans), *(entry.boot_index for entry in blank)]
    indexes = sorted(index for index in asked if index is not None and index >= 0)
    local = bool(wish.image_ref) and 0 not in indexes
    if local:
        indexes.insert(0, 0)
    if indexes != list(range(len(indexes))) or not indexes:
        raise bad_request(INVALID + SEQUENCE)
    roots = sum(_is_local_image(entry) for entry in entries)
    if (roots and not local and not needs.devices) or roots > 1:
        raise bad_request(INVALID + SEQUENCE)
    _require_once(plans)
    if any(entry.boot_index == 0 for entry in blank):
        raise bad_request(INVALID + SEQUENCE)
    if len(plans) + local > DEVICES:
        raise bad_request("No free disk device names for prefix 'vd'")
    plans = with_types(call, plans)
    volumes = tuple(_resolved(call, plan, told=bool(wish.image_ref)) for plan in plans)
    if not wish.image_ref:
        needs = next(plan.needs for plan in volumes if plan.boot_index == 0)
    volumes = tuple(replace(plan, bus=bus_of_volume(needs.properties, plan.bus)) for plan in volumes)
    return Disks(str(wish.image_ref) if local else "", needs, volumes, blank)


def _require_once(plans: list[DiskPlan]) -> None:
    named = [plan.volume_id for plan in plans if plan.volume_id]
    for volume_id in named:
        if named.count(volume_id) > 1:
            raise bad_request(f"Invalid volume: volume {volume_id} already attached")


def _is_local_image(entry: Disk) -> bool:
    return entry.source_type == "image" and entry.destination_type != "volume"


def _is_blank(entry: Disk) -> bool:
    return entry.source_type == "blank" and entry.destination_type != "volume"


def _plan(entry: Disk, wish: ServerCreate) -> DiskPlan | None:
    """None for the entry that merely repeats imageRef, and for one that the host makes."""
    source = entry.source_type
    given = entry.uuid or {"image": entry.image_id, "volume": entry.volume_id, "snapshot": entry.snapshot_id}.get(
        source or ""
    )
    if source is None:
        raise bad_request(INVALID + "source_type is missing.")
    if source == "blank" and given:
        raise bad_request(INVALID + "Invalid device UUID.")
    if source != "blank" and not given:
        raise bad_request(INVALID + "Missing device UUID.")
    if given and not is_uuid(given):
        raise bad_request(INVALID + f"'{given[:64]}' is not a UUID.")
    require_bus(entry, local=_is_blank(entry))
    if entry.volume_type:
        _require_made(entry)
    if _is_blank(entry):
        return None
    if entry.guest_format:
        raise bad_request(f"{INVALID}guest_format is only supported for blank devices of destination_type local.")
    if _is_local_image(entry):
        if not wish.image_ref or entry.boot_index != 0:
            raise bad_request(INVALID + "Mapping image to local is not supported.")
        return None
    _require_volume(entry)
    plan = DiskPlan(
        volume_type=entry.volume_type or "",
        boot_index=entry.boot_index,
        size_gb=int(entry.volume_size or 0),
        device=entry.device_name or None,
        delete_on_termination=entry.delete_on_termination,
        tag=entry.tag,
        bus=entry.disk_bus or "",
    )
    match source:
        case "volume":
            return replace(plan, volume_id=given)
        case "image":
            return replace(plan, image_id=given)
        case "snapshot":
            return replace(plan, snapshot_id=given)
    return plan


def _require_made(entry: Disk) -> None:
    """A type is for a volume that the build makes."""
    local = entry.destination_type == "local" or _is_blank(entry) or _is_local_image(entry)
    if local and not (entry.source_type == "image" and entry.boot_index != 0):
        raise bad_request(INVALID + "Specifying a volume_type with destination_type=local is not supported.")
    if entry.source_type == "volume":
        raise bad_request(INVALID + "Specifying volume type to existing volume is not supported.")


def _require_volume(entry: Disk) -> None:
    source = entry.source_type
    if entry.destination_type == "local":
        raise bad_request(INVALID + f"Mapping {source} to local is not supported.")
    if source == "image" and not entry.volume_size:
        raise bad_request("Images with destination_type 'volume' need to have a non-zero size specified")
    if source == "blank" and not entry.volume_size:
        raise bad_request("Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size")


def _resolved(call: ComputeCall, plan: DiskPlan, *, told: bool) -> DiskPlan:
    """`told`: imageRef says what the guest is like, so that the volume it boots from may be empty still."""
    if plan.volume_id:
        return _of_volume(call, plan, plan.volume_id, root=plan.boot_index == 0 and not told)
    if plan.image_id:
        needs = image(call, plan.image_id, f"{INVALID}failed to get image {plan.image_id}.")
        if needs.min_disk > plan.size_gb:
            raise bad_request(
                "Volume is smaller than the minimum size specified in image metadata. "
                f"Volume size is {plan.size_gb << 30} bytes, minimum size is {needs.min_disk << 30} bytes."
            )
        return replace(plan, needs=needs)
    if plan.snapshot_id:
        body = neighbours(call).get(call, VOLUME, f"/snapshots/{plan.snapshot_id}")
        if body is None:
            raise bad_request(f"{INVALID}failed to get snapshot {plan.snapshot_id}.")
        return replace(plan, size_gb=plan.size_gb or int(body["snapshot"].get("size") or 0))
    return plan


def _of_volume(call: ComputeCall, plan: DiskPlan, volume_id: str, *, root: bool) -> DiskPlan:
    found = volume(call, volume_id)
    if found is None:
        raise bad_request(f"Volume {volume_id} could not be found.")
    require_attachable(call, found)
    if root and str(found.get("bootable", "true")).lower() != "true":
        raise bad_request(f"Block Device {volume_id} is not bootable.")
    known = found.get("volume_image_metadata") or {}
    needs = Needs(int(known.get("min_ram") or 0), properties=properties_of(known))
    return replace(plan, needs=needs, size_gb=int(found["size"]))


def require_attachable(call: ComputeCall, volume: dict[str, Any]) -> None:
    """400 for a volume that another server has, unless it is for several, of which clients know since 2.60."""
    shared = bool(volume.get("multiattach"))
    if shared and not call.since(60):
        raise bad_request("Multiattach volumes are only supported starting with compute API version 2.60.")
    status = volume["status"]
    if status != "available" and not (shared and status == "in-use"):
        words = f"volume '{volume['id']}' status must be 'available'. Currently in '{status}'"
        raise bad_request(f"Invalid volume: {words}")
