"""The bus and the kind of a block device: as the request has it, or refused. Source: Nova's DiskBus and
BlockDeviceType."""

from api.compute.errors import bad_request
from api.compute.schemas.servers import Disk

INVALID = "Block Device Mapping is Invalid: "
BUSES = ("fdc", "ide", "lxc", "sata", "scsi", "uml", "usb", "virtio", "xen")
KINDS = ("cdrom", "disk", "floppy", "fs", "lun")
OF_HOST = ("virtio", "scsi", "sata", "ide")
"""On which a disk of the host's own can be."""
OF_VOLUMES = ("virtio", "scsi")
"""QEMU takes others only with its command line, which everybody on the host may read, and which must not tell the name
of a volume's export."""


def require_bus(entry: Disk, *, local: bool) -> None:
    """400 for what Nova does not know, and for what no host can give. `local`: the host makes the disk."""
    bus, kind = entry.disk_bus, entry.device_type
    if bus is not None and bus not in BUSES:
        raise bad_request(f"{INVALID}The provided disk bus {bus[:64]} is not valid.")
    if kind is not None and kind not in KINDS:
        raise bad_request(f"{INVALID}The provided device type {kind[:64]} is not valid.")
    if bus is not None and bus not in (OF_HOST if local else OF_VOLUMES):
        raise bad_request(f"No valid host was found. No host supports the disk_bus {bus} for this block device.")
    if kind not in (None, "disk"):
        raise bad_request(f"No valid host was found. No host supports the device_type {kind} for this block device.")
