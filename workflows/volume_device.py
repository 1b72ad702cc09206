"""Device names of volumes that are attached to a server that exists."""

import string
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from infra.contracts.errors import hopeless
    from infra.contracts.instance import DeletePlan
    from infra.contracts.local_disks import PREFIX, letters_of
    from infra.contracts.operation import InstanceFacts
    from infra.contracts.volume import VolumeRequest, bus_of_volume


def device_for(server: InstanceFacts, volume_id: str, asked: str | None) -> str | None:
    """The name asked for, else the first that is free: `vdb`, on SCSI `sdb`. The first disk is the one to boot from.
    Without a host, and unless it was asked for, none: the volume gets it with its host, as in Nova.

    Raises Hopeless (400) when the name is taken or none is left, or the volume is attached already."""
    if any(volume["volume_id"] == volume_id for volume in server.volumes):
        raise hopeless(f"Invalid volume: volume {volume_id} already attached to this instance", code=400)
    prefix, free = _free(server)
    wanted = (asked or "").removeprefix("/dev/")
    if wanted in (prefix + letter for letter in string.ascii_lowercase):
        if wanted not in free:
            raise hopeless(f"The supplied device path (/dev/{wanted}) is in use.", code=400)
        return wanted
    if len(free) <= sum(not volume.get("device") for volume in server.volumes):
        raise hopeless(f"No free disk device names for prefix '{prefix}'", code=400)
    return free[0] if server.host else None


def with_devices(server: InstanceFacts) -> list[dict[str, Any]]:
    """The server's volumes; those that were attached while it had no host get the names that are free."""
    free = iter(_free(server)[1])
    return [volume if volume.get("device") else {**volume, "device": next(free, None)} for volume in server.volumes]


def _free(server: InstanceFacts) -> tuple[str, list[str]]:
    """(what names of the server's volumes begin with, those that are free)."""
    prefix = PREFIX[bus_of_volume(server.image_properties)]
    letters = letters_of(str(volume.get("device") or "") for volume in server.volumes) | {"a"}
    coming_back = server.migration.old_local_disks if server.migration else []  # should its resize be reverted
    letters |= letters_of(disk.device for disk in (*server.local_disks, *coming_back))
    return prefix, [prefix + letter for letter in string.ascii_lowercase if letter not in letters]


def held_by_service(server: InstanceFacts, volume: VolumeRequest) -> DeletePlan:
    """One volume of a server that is on no host: the volume service alone holds it. It is never deleted by this."""
    kept = volume.model_copy(update={"create": False, "delete_on_termination": False})
    return DeletePlan(instance_id=server.instance_id, project_id=server.project_id, volumes=[kept])
