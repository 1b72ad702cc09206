"""Device names of volumes that are attached to a server that exists."""

import string

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from infra.contracts.errors import hopeless
    from infra.contracts.local_disks import letters_of
    from infra.contracts.operation import InstanceFacts


def device_for(server: InstanceFacts, volume_id: str, asked: str | None) -> str:
    """The name asked for, else the first that is free: `vdb`. vda is the disk one boots from.

    Raises Hopeless (400) when the name is taken or none is left, or the volume is attached already."""
    taken = {str(volume.get("device") or "").removeprefix("/dev/") for volume in server.volumes} | {"vda"}
    taken |= {f"vd{letter}" for letter in letters_of(disk.device for disk in server.local_disks)}
    if any(volume["volume_id"] == volume_id for volume in server.volumes):
        raise hopeless(f"Invalid volume: volume {volume_id} already attached to this instance", code=400)
    wanted = (asked or "").removeprefix("/dev/")
    if wanted in taken:
        raise hopeless(f"The supplied device path (/dev/{wanted}) is in use.", code=400)
    names = [f"vd{letter}" for letter in string.ascii_lowercase]
    if wanted in names:
        return wanted
    free = [name for name in names if name not in taken]
    if not free:
        raise hopeless("No free disk device names for prefix 'vd'", code=400)
    return free[0]
