"""The ephemeral and swap disks of a server to be: of its flavor, and of blank entries of block_device_mapping_v2.

Source: Compute API reference, "Create server"; Nova's checks and words for block devices of destination local."""

from dataclasses import replace

from api.compute import limits
from api.compute.boot.buses import INVALID, require_bus
from api.compute.boot.disks import DiskPlan, Disks
from api.compute.errors import bad_request
from api.compute.records.flavors import AnyFlavor
from api.compute.schemas.servers import Disk
from infra.contracts.local_disks import FORMATS, PREFIX, SWAP, LocalDisk, completed, default_format, letters_of, named

TOO_LARGE = (
    "Ephemeral disks requested are larger than the instance type allows. If no size is given in one block device "
    "mapping, flavor ephemeral size will be used."
)


def with_local_disks(disks: Disks, flavor: AnyFlavor) -> Disks:
    """With what the host is to make, and a name for each disk. 400 for more than the flavor gives, and for a device
    name that is taken."""
    default = default_format(disks.needs.properties)
    asked = _asked(disks, flavor, default)
    if len(disks.blank) + bool(disks.image_id) > limits.LOCAL_DISKS:
        raise bad_request(INVALID + "You specified more local devices than the limit allows")
    taken = _taken(disks.volumes)
    local = completed(asked, flavor.ephemeral, flavor.swap, default)
    if not local:
        return disks
    try:
        local = named(local, taken | {"a"})
        volumes = _named_volumes(disks.volumes, taken | letters_of(disk.device for disk in local))
    except LookupError as error:
        raise bad_request(str(error)) from None
    for disk in local:
        if (disk.bus or disks.needs.properties.get("hw_disk_bus")) == "ide" and disk.device[-1] > "c":
            raise bad_request("No free disk device names for prefix 'hd'")
    return replace(disks, volumes=volumes, local=tuple(local))


def _asked(disks: Disks, flavor: AnyFlavor, default: str) -> list[LocalDisk]:
    swap = [entry for entry in disks.blank if entry.guest_format == SWAP]
    ephemeral = [entry for entry in disks.blank if entry.guest_format != SWAP]
    if sum(int(entry.volume_size or flavor.ephemeral) for entry in ephemeral) > flavor.ephemeral:
        raise bad_request(TOO_LARGE)
    if len(swap) > 1:
        raise bad_request(INVALID + "More than one swap drive requested.")
    if swap and int(swap[0].volume_size or 0) > flavor.swap:
        raise bad_request("Swap drive requested is larger than instance type allows.")
    found = [
        LocalDisk(
            kind="ephemeral",
            number=number,
            size_mb=int(entry.volume_size or flavor.ephemeral) << 10,
            guest_format=_format(entry, default),
            **_about(entry),
        )
        for number, entry in enumerate(ephemeral)
        if flavor.ephemeral
    ]
    return found + [
        LocalDisk(kind="swap", size_mb=int(entry.volume_size or flavor.swap), **_about(entry))
        for entry in swap
        if flavor.swap
    ]


def _about(entry: Disk) -> dict[str, object]:
    require_bus(entry, local=True)
    return {"bus": entry.disk_bus or "", "tag": entry.tag, "boot_index": entry.boot_index, "of_flavor": False}


def _format(entry: Disk, default: str) -> str:
    if entry.guest_format and entry.guest_format not in FORMATS:
        raise bad_request(f"No valid host was found. No host can make the guest_format {entry.guest_format[:64]}.")
    return entry.guest_format or default


def _taken(volumes: tuple[DiskPlan, ...]) -> set[str]:
    """Letters of the devices that were asked for. 400 for one that two are to have."""
    taken = {"a"}
    for plan in volumes:
        name = (plan.device or "").removeprefix("/dev/")
        letter = _letter(plan)
        if letter in taken and (letter != "a" or plan.boot_index != 0):
            raise bad_request(f"The supplied device path (/dev/{name}) is in use.")
        taken |= {letter} if letter else set()
    return taken


def _letter(plan: DiskPlan) -> str:
    """Of the device name that was asked for, where it is one of the volume's bus."""
    name = (plan.device or "").removeprefix("/dev/")
    return name[2:] if len(name) == 3 and name.startswith(PREFIX[plan.bus]) else ""


def _named_volumes(volumes: tuple[DiskPlan, ...], taken: set[str]) -> tuple[DiskPlan, ...]:
    """Behind the host's own disks, as Nova has them: each volume without a name of its own at the next free letter."""
    found = []
    for plan in volumes:
        if plan.boot_index != 0 and not _letter(plan):
            (placed,) = named([LocalDisk(kind="ephemeral", size_mb=0, bus=plan.bus)], taken)
            plan = replace(plan, device=f"/dev/{placed.device}")
            taken = taken | letters_of([placed.device])
        found.append(plan)
    return tuple(found)
