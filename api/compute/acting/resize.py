"""resize: the new flavor, found with the caller's rights, and what it may not do to the disk."""

from typing import Any

from sqlalchemy import RowMapping

from api.compute.boot.images import flavor
from api.compute.boot.properties import disk_config, require_machine
from api.compute.call import ComputeCall
from api.compute.errors import bad_request
from api.compute.records import quotas
from infra.contracts.hypervisor import FlavorFacts
from workflows.resize_instance import NewFlavor


def prepare(call: ComputeCall, row: RowMapping, wish: dict[str, Any]) -> dict[str, Any]:
    """400 in Nova's words for the same flavor, one that the caller cannot use, and one with a smaller disk."""
    with call.db.read() as session:
        chosen = FlavorFacts.model_validate(flavor(session, call, wish["flavorRef"]), from_attributes=True)
        limits = quotas.limits(session, row["project_id"])
    if chosen.id == row["flavor_id"]:
        raise bad_request("When resizing, instances must change flavor!")
    if row["image_ref"]:
        _require_disk(chosen.disk, row["root_gb"])
    require_machine(row["image_properties"], chosen, local=bool(row["image_ref"]))
    return NewFlavor(
        flavor=chosen,
        disk_config=disk_config(wish.get("OS-DCF:diskConfig", "MANUAL"), row["image_properties"], row["image_ref"]),
        quota={resource: limits[resource] for resource in ("cores", "ram")},
        confirm_after_s=call.settings.resize_confirm_window,
    ).model_dump()


def _require_disk(wanted: int, known: int) -> None:
    words = "Server disk was unable to be resized because: "
    if wanted == 0 and known != 0:
        raise bad_request(words + "Resize to zero disk flavor is not allowed.")
    if wanted < known:
        raise bad_request(words + "Unable to resize disk down.")
