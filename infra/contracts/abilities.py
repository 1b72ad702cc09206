"""What hosts can that not all of them can, since it is of a newer release or depends on a package. Each host tells it
with its heartbeat; a server that needs it goes to no other host, and an action that needs it is refused on one."""

from collections.abc import Iterable, Mapping

LOCAL_DISKS = "local-disks"
"""Ephemeral disks and swap. An older worker would leave them out."""
LARGER_SWAPS = "larger-swaps"
"""A volume is swapped for a larger one. An older worker would have QEMU refuse that after the volume was attached."""
OF_THIS_RELEASE = frozenset((LOCAL_DISKS, LARGER_SWAPS))
"""What every host of this release can."""


def needed(properties: Mapping[str, str], flavor: Mapping[str, object], *, local_disks: bool) -> set[str]:
    """Of a server with this image and this flavor. `local_disks`: it has some, whatever its flavor says."""
    found = set()
    if local_disks or flavor.get("ephemeral") or flavor.get("swap"):
        found.add(LOCAL_DISKS)
    return found


def words(lacking: Iterable[str]) -> str:
    return f"its worker cannot {', '.join(sorted(lacking))}"
