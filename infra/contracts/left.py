"""What operations left beside a guest's own files, and what the records say of the server that it is of."""

from enum import StrEnum

from infra.contracts.guarded import Guarded
from infra.contracts.hypervisor import FlavorFacts
from infra.contracts.local_disks import LocalDisk

Left = dict[str, dict[str, str]]
"""Server id → name of what is left → id of the request that it was kept for, "" where it is not complete. Names are
the labels of `Aside`, `snapshot-<image id>`, and REVERTED."""
REVERTED = "reverted"
"""A note that a guest was given back what it had been before a resize, until its record says so too."""


class Fate(StrEnum):
    """What is not said of a thing, it is left alone for."""

    OVER = "over"  # no record has a way back to it
    OWED = "owed"  # its operation failed: the guest is to be what was kept


class Standing(Guarded):
    """A server at rest, as its record has it. `fates`: by the names of what is left."""

    vm_state: str
    flavor: FlavorFacts
    local_disks: list[LocalDisk] = []
    fates: dict[str, Fate] = {}
