"""Nova's states of a server: where it may rest, and what shows of it. In which states actions pass, their rows say;
`workflows.states` makes one table of both. Source: vm_states.py and task_states.py of nova/compute."""

from enum import StrEnum

RESTING: dict[str, str] = {
    "active": "ACTIVE",
    "stopped": "SHUTOFF",
    "resized": "VERIFY_RESIZE",
    "paused": "PAUSED",
    "suspended": "SUSPENDED",
    "rescued": "RESCUE",
    "error": "ERROR",
    "deleted": "DELETED",
    "soft-delete": "SOFT_DELETED",
    "shelved": "SHELVED",
    "shelved_offloaded": "SHELVED_OFFLOADED",
}
"""vm_state in which a server may be while no operation runs → its status."""
BUILDING = "building"
"""vm_state of a server that never ran: it comes with an operation, always."""
SCHEDULING, SPAWNING, DELETING, SOFT_DELETING = "scheduling", "spawning", "deleting", "soft-deleting"
"""task_states of builds, and of deletes."""
SOFT_DELETED = "soft-delete"
KEEPABLE = frozenset(("active", "stopped", "paused", "suspended", "error", "shelved", SOFT_DELETED))
"""vm_states from which a server can be deleted softly: what a restore starts is what its owner knows."""


def deleting(reclaim_after_s: float, vm_state: str, *, launched: bool, host: str | None) -> str:
    """task_state of a delete: SOFT_DELETING of what has run, where deletes can be taken back for so many seconds.
    Source: `_delete` and `soft_delete` of Nova's compute API."""
    return SOFT_DELETING if reclaim_after_s and launched and host and vm_state in KEEPABLE else DELETING


class Lost(StrEnum):
    """What becomes of a server whose operation is gone without an end, as when somebody terminates its workflow."""

    UNDONE = "undone, ERROR"  # it never ran
    AGAIN = "deleted again"
    PUT_BACK = "put back"  # the guest and its disk are the tenant's, whatever was being done


def at_rest(vm_state: str, task_state: str | None) -> bool:
    return vm_state in RESTING and not task_state


def lost(vm_state: str, task_state: str | None) -> Lost:
    """Source: `_init_instance` of Nova's compute manager, which does so when a host agent starts."""
    if task_state == DELETING:
        return Lost.AGAIN
    return Lost.UNDONE if vm_state == BUILDING or not task_state else Lost.PUT_BACK
