"""Images in the form of Nova's old proxy (Compute API reference, "Images", until 2.35)."""

import json
from typing import Any

from api.common import parsers
from api.compute.call import ComputeCall

Json = dict[str, Any]
BASE = frozenset(
    ("id", "name", "status", "visibility", "protected", "checksum", "created_at", "updated_at", "tags", "min_ram",
     "min_disk", "disk_format", "container_format", "size", "virtual_size", "owner", "file", "self", "schema",
     "locations", "direct_url", "os_hidden", "os_hash_algo", "os_hash_value", "stores")
)  # fmt: skip
"""What Glance's schema has of its own; anything else of an image is a property."""
STATUS = {"active": "ACTIVE", "queued": "SAVING", "saving": "SAVING", "deleted": "DELETED",
          "pending_delete": "DELETED", "killed": "ERROR"}  # fmt: skip
PROGRESS = {"queued": 25, "saving": 50, "active": 100}
STRUCTURED = ("block_device_mapping", "mappings")
"""Properties that hold JSON, and are shown as what it means."""


def properties(image: Json) -> Json:
    found = {name: value for name, value in image.items() if name not in BASE}
    for name in STRUCTURED:
        if isinstance(found.get(name), str):
            try:
                found[name] = json.loads(found[name])
            except ValueError:
                continue
    return found


def links(call: ComputeCall, image_id: str, glance: str) -> list[dict[str, str]]:
    alternate = {"rel": "alternate", "type": "application/vnd.openstack.image", "href": f"{glance}/images/{image_id}"}
    return [*call.links(f"/images/{image_id}"), alternate]


def summary(call: ComputeCall, image: Json, glance: str) -> Json:
    return {"id": image["id"], "name": image.get("name"), "links": links(call, image["id"], glance)}


def detail(call: ComputeCall, image: Json, glance: str) -> Json:
    about = properties(image)
    shown = summary(call, image, glance) | {
        "minRam": int(image.get("min_ram") or 0),
        "minDisk": int(image.get("min_disk") or 0),
        "metadata": about,
        "created": image.get("created_at"),
        "updated": image.get("updated_at"),
        "status": STATUS.get(image.get("status", ""), "UNKNOWN"),
        "progress": PROGRESS.get(image.get("status", ""), 0),
        "OS-EXT-IMG-SIZE:size": image.get("size") or 0,
    }
    if server := about.get("instance_uuid"):
        shown["server"] = {"id": server, "links": call.links(f"/servers/{server}")}
    if (grows := about.get("auto_disk_config")) is not None:
        shown["OS-DCF:diskConfig"] = "AUTO" if str(grows).strip().lower() in parsers.TRUE else "MANUAL"
    return shown
