"""How a test gets a server to each action, what it asks, and the vm_state that follows."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Way:
    ends: str
    before: tuple[str, ...] = ()  # actions that bring an active server to where this one may begin
    body: dict[str, Any] = field(default_factory=dict)


WAYS = {
    "os-stop": Way(ends="stopped"),
    "os-start": Way(ends="active", before=("os-stop",)),
    "pause": Way(ends="paused"),
    "unpause": Way(ends="active", before=("pause",)),
    "suspend": Way(ends="suspended"),
    "resume": Way(ends="active", before=("suspend",)),
    "trigger_crash_dump": Way(ends="active"),
    "reboot": Way(ends="active", body={"type": "HARD"}),
}
"""A row of workflows/actions.py without a way here fails every test of tests/workflows/test_actions.py."""
