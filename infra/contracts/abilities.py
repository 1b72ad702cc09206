"""What hosts can that not all of them can, since it is of a newer release or depends on a package. Each host tells it
with its heartbeat; a server that needs it goes to no other host, and an action that needs it is refused on one."""

from collections.abc import Iterable, Mapping

from infra.contracts.machine import is_q35

LOCAL_DISKS = "local-disks"
"""Ephemeral disks and swap. An older worker would leave them out."""
LARGER_SWAPS = "larger-swaps"
"""A volume is swapped for a larger one. An older worker would have QEMU refuse that after the volume was attached."""
Q35 = "q35"
SCSI_VOLUMES = "scsi-volumes"
"""Volumes on SCSI. An older worker would make virtio disks of them."""
VOLUME_TYPES = "volume-types"
"""A build's volumes are made of the type that was asked for. An older worker would make them of the default."""
MOVES = "moves"
"""A resize takes a server from one host to another. An older worker knows neither end of it."""
CARRIES = "carries"
"""Ephemeral disks and firmware variables go along. An older worker knows neither end of it."""
OF_THIS_RELEASE = frozenset((LOCAL_DISKS, LARGER_SWAPS, Q35, SCSI_VOLUMES, VOLUME_TYPES, MOVES, CARRIES))
"""What every host of this release can."""
UEFI = "uefi"
"""The firmware is there: Debian's `ovmf`."""
CPU_LIMITS = "cpu-limits"
"""The kernel's control groups bound a guest's CPU time, and the host may set them."""
VIF_LIMITS = "vif-limits"
"""The host plugs its guests' interfaces itself, and limits their bandwidth."""
SUBPORTS = "subports"
"""Its kernel carries trunks' subports. Told, and chosen by for no server: on a host without it the trunk is DOWN."""
IMAGE_SIGNATURES = "image-signatures"
"""Signatures of images are verified by the certificates that its operator gave it."""
OF_SPECS = {"quota:cpu_": CPU_LIMITS, "quota:vif_": VIF_LIMITS}
"""Beginnings of extra specs that need an ability."""


def needed(
    properties: Mapping[str, str], flavor: Mapping[str, object], *, local_disks: bool, signed: bool = False
) -> set[str]:
    """Of a server with this image and this flavor. `local_disks`: it has some, whatever its flavor says; `signed`: its
    image must be, by somebody whom its owner trusts."""
    found = {IMAGE_SIGNATURES} if signed else set()
    if local_disks or flavor.get("ephemeral") or flavor.get("swap"):
        found.add(LOCAL_DISKS)
    if is_q35(properties.get("hw_machine_type", "")):
        found.add(Q35)
    if properties.get("hw_firmware_type") == "uefi":
        found.add(UEFI)
    specs = flavor.get("extra_specs")
    for name in specs if isinstance(specs, Mapping) else ():
        found |= {ability for start, ability in OF_SPECS.items() if str(name).startswith(start)}
    return found


def words(lacking: Iterable[str]) -> str:
    return f"its worker cannot {', '.join(sorted(lacking))}"
