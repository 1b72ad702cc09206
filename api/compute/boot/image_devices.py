"""The block devices that an image names: of a server that booted from a volume, whose volumes it holds snapshots of."""

import json

from pydantic import ValidationError

from api.compute.boot.images import Needs
from api.compute.errors import bad_request
from api.compute.schemas.servers import Disk, ServerCreate

KEPT = ("boot_index", "device_name", "delete_on_termination", "tag", "volume_type")
WRONG = "Block Device Mapping is Invalid: the image's block_device_mapping is malformed."


def with_image(wish: ServerCreate, needs: Needs) -> list[Disk]:
    """The image's devices, then the request's own; one of the request's stands for the image's of the same name.

    400 for a property that is no list of snapshots or volumes: whoever made the image may have written it."""
    own = wish.block_device_mapping_v2
    if not needs.devices:
        return list(own)
    named = {entry.device_name for entry in own if entry.device_name}
    return [entry for entry in _devices(needs.devices) if entry.device_name not in named] + list(own)


def _devices(text: str) -> list[Disk]:
    try:
        return [_disk(given) for given in json.loads(text)]
    except (ValueError, TypeError, AttributeError, ValidationError) as error:
        raise bad_request(WRONG) from error


def _disk(given: dict[str, object]) -> Disk:
    """As an entry of a request; ValueError for a device that nothing is made of."""
    source = given.get("source_type")
    if source not in ("snapshot", "volume"):
        raise ValueError(source)
    wanted = {name: given[name] for name in KEPT if given.get(name) is not None}
    size = {"volume_size": given["volume_size"]} if given.get("volume_size") else {}
    about = {"source_type": source, "destination_type": "volume", "uuid": given.get(f"{source}_id")}
    return Disk.model_validate({**about, **wanted, **size})
