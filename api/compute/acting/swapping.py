"""PUT of a volume's attachment with another volume: whether that can take its place. Source: Nova's `swap_volume`."""

from typing import Any

from sqlalchemy import RowMapping

from api.compute.acting.able import require_host
from api.compute.call import ComputeCall
from api.compute.errors import bad_request, not_found
from api.compute.neighbours import volume
from infra.contracts.abilities import LARGER_SWAPS
from infra.contracts.volume import attached_id


def prepare(call: ComputeCall, row: RowMapping, old_id: str, new_id: str) -> dict[str, Any]:
    """What the workflow gets. 404 when the old volume is gone, 400 for a new one that is, that is taken or
    smaller, and for an old one that another server has, too."""
    old, new = volume(call, old_id), volume(call, new_id)
    if old is None:
        raise not_found(f"Volume {old_id} could not be found.")
    if new is None:
        raise bad_request(f"Volume {new_id} could not be found.")
    if new["attachments"]:
        raise bad_request("Invalid volume: New volume must be detached in order to swap.")
    if int(new["size"]) < int(old["size"]):
        raise bad_request("Invalid volume: New volume must be the same size or larger.")
    if int(new["size"]) > int(old["size"]):
        require_host(call, row, {LARGER_SWAPS})
    if len(old["attachments"]) > 1:
        raise bad_request("Swapping multi-attach volumes with more than one read/write attachment is not supported.")
    if new["status"] != "available":
        words = f"volume '{new_id}' status must be 'available'. Currently in '{new['status']}'"
        raise bad_request(f"Invalid volume: {words}")
    return {
        "volume_id": old_id,
        "new_volume_id": new_id,
        "attachment_id": attached_id(row["id"], call.requester.request_id, new_id),
    }
