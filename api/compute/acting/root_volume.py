"""rebuild of a server that boots from a volume: whether its volume is written anew, and whether that can be."""

from sqlalchemy import RowMapping

from api.compute import neighbours
from api.compute.boot.images import GIB, Needs
from api.compute.call import ComputeCall
from api.compute.errors import bad_request, conflict


def written(call: ComputeCall, row: RowMapping, image_id: str, needs: Needs) -> str:
    """The id of the volume that the image is written to; "" before 2.93: the volume stays as it is.

    400 in Nova's and Cinder's words for another image than the volume's before 2.93, for a volume that is too small, or
    not in use; 409 for one that another server has as well. Source: Nova's `rebuild` of compute/api.py."""
    volume_id = next((held["volume_id"] for held in row["volumes"] if held.get("boot_index") == 0), "")
    volume = neighbours.volume(call, volume_id)
    if volume is None:
        raise bad_request(f"Volume {volume_id} could not be found.")
    if not call.since(93) and (volume.get("volume_image_metadata") or {}).get("image_id") != image_id:
        words = "Unable to rebuild with a different image for a volume-backed server."
        raise bad_request(f"Image {image_id} is unacceptable: {words}")
    if volume["status"] != "in-use":
        raise bad_request(
            f"Invalid volume: volume '{volume_id}' status must be 'in-use'. Currently in '{volume['status']}' status"
        )
    if not call.since(93):
        return ""
    if len(volume["attachments"]) > 1:
        raise conflict("Cannot re-image a volume which is attached to more than one server.")
    size = int(volume["size"])
    if needs.min_disk > size:
        raise bad_request(
            "Volume is smaller than the minimum size specified in image metadata. "
            f"Volume size is {size * GIB} bytes, minimum size is {needs.min_disk * GIB} bytes."
        )
    if needs.size > size * GIB:
        raise bad_request(f"Size of specified image {-(-needs.size // GIB)}GB is larger than volume size {size}GB.")
    return str(volume_id)
