"""What the image of a server that boots from a volume says: a snapshot for each volume, as block devices of a boot.

Source: Nova's block_device_mapping property of such images (`bdm_v2`)."""

import json
from typing import Any
from uuid import UUID, uuid5

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from infra.contracts.agent import Still
    from infra.contracts.operation import ActionRequest, InstanceFacts
    from infra.contracts.properties import is_true
    from infra.contracts.snapshot import VolumeSnapshot, VolumeSnapshots, image_id_of

NOTHING = ("guest_format", "volume_id", "image_id", "no_device", "volume_type")


def volume_snapshots(req: ActionRequest, server: InstanceFacts) -> VolumeSnapshots:
    image_id = image_id_of(req.instance_id, req.requester.request_id)
    ids = [volume["volume_id"] for volume in server.volumes]
    return VolumeSnapshots(
        instance_id=server.instance_id,
        project_id=server.project_id,
        image_id=image_id,
        name=req.body["name"],
        volumes=[VolumeSnapshot(volume_id=id, snapshot_id=str(uuid5(UUID(image_id), f"snapshot/{id}"))) for id in ids],
    )


def still_of(server: InstanceFacts) -> Still:
    required = is_true(server.image_properties, "os_require_quiesce")
    return Still(instance_id=server.instance_id, attempt=server.attempt, required=required)


def volume_image(req: ActionRequest, server: InstanceFacts, snapshots: VolumeSnapshots) -> dict[str, str]:
    """The image's properties. `req.body["sizes"]`: GiB of each volume, as its service says; one that was
    attached meanwhile is not in it, and gets its snapshot's size."""
    made = {each.volume_id: each.snapshot_id for each in snapshots.volumes}
    devices = [_device(volume, made, req.body.get("sizes", {})) for volume in server.volumes]
    return {
        **server.image_properties,
        **req.body.get("metadata", {}),
        "root_device_name": "/dev/vda",
        "bdm_v2": "True",
        "block_device_mapping": json.dumps(devices, sort_keys=True),
    }


def _device(volume: dict[str, Any], made: dict[str, str], sizes: dict[str, int]) -> dict[str, Any]:
    id = volume["volume_id"]
    return {
        **dict.fromkeys(NOTHING),
        "source_type": "snapshot",
        "destination_type": "volume",
        "device_type": "disk",
        "disk_bus": volume.get("bus") or None,
        "snapshot_id": made[id],
        "volume_size": sizes.get(id),
        "boot_index": volume.get("boot_index"),
        "device_name": f"/dev/{volume['device']}" if volume.get("device") else None,
        "delete_on_termination": bool(volume.get("delete_on_termination")),
        "tag": volume.get("tag"),
    }
