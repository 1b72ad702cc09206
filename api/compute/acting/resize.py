"""resize: the new flavor, found with the caller's rights, and what it may not do to the disk."""

from typing import Any

from sqlalchemy import RowMapping

from api.compute.boot.images import flavor
from api.compute.boot.properties import disk_config, require_machine
from api.compute.call import ComputeCall
from api.compute.errors import bad_request
from api.compute.records import quotas
from infra.contracts.hypervisor import FlavorFacts
from infra.contracts.local_disks import LocalDisk, default_format, letters_of, named, resized
from workflows.resize_instance import NewFlavor

UNABLE = "Server disk was unable to be resized because: "


def prepare(call: ComputeCall, row: RowMapping, wish: dict[str, Any]) -> dict[str, Any]:
    """400 in Nova's words for the same flavor, one that the caller cannot use, and one with a smaller disk."""
    with call.db.read() as session:
        chosen = FlavorFacts.model_validate(flavor(session, call, wish["flavorRef"]), from_attributes=True)
        limits = quotas.limits(session, row["project_id"])
    if chosen.id == row["flavor_id"]:
        raise bad_request("When resizing, instances must change flavor!")
    if row["image_ref"]:
        _require_disk(chosen.disk, row["root_gb"])
    local = _local_disks(row, chosen)
    require_machine(row["image_properties"], chosen, local=bool(row["image_ref"]))
    return NewFlavor(
        flavor=chosen,
        local_disks=local,
        disk_config=disk_config(wish.get("OS-DCF:diskConfig", "MANUAL"), row["image_properties"], row["image_ref"]),
        quota={resource: limits[resource] for resource in ("cores", "ram")},
        confirm_after_s=call.settings.resize_confirm_window,
        same_host=call.settings.allow_resize_to_same_host,
    ).model_dump()


def _local_disks(row: RowMapping, chosen: FlavorFacts) -> list[LocalDisk]:
    """Ephemeral and swap under the new flavor. 400 for less than the ephemeral disks have by now."""
    known = [LocalDisk.model_validate(disk) for disk in row["local_disks"] or ()]
    if sum(disk.size_mb for disk in known if disk.kind == "ephemeral") > chosen.ephemeral << 10:
        raise bad_request(UNABLE + "Unable to resize disk down.")
    wanted = resized(known, chosen.ephemeral, chosen.swap, default_format(row["image_properties"]))
    taken = letters_of(str(volume.get("device") or "") for volume in row["volumes"] or ()) | {"a"}
    try:
        return named(wanted, taken)
    except LookupError as error:
        raise bad_request(UNABLE + str(error)) from None


def _require_disk(wanted: int, known: int) -> None:
    if wanted == 0 and known != 0:
        raise bad_request(UNABLE + "Resize to zero disk flavor is not allowed.")
    if wanted < known:
        raise bad_request(UNABLE + "Unable to resize disk down.")
