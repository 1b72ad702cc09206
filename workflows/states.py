"""The table of states: in which a server passes from where to where, by which operation. Derived from the rows of
actions, with build and delete; API, records, audit, views and tests read it."""

from collections.abc import Iterator
from dataclasses import dataclass

from infra.contracts.operation import Transition
from infra.contracts.states import (
    BUILDING,
    DELETING,
    KEEPABLE,
    RESTING,
    SCHEDULING,
    SOFT_DELETED,
    SOFT_DELETING,
    SPAWNING,
    Lost,
    lost,
)
from workflows.action import Action
from workflows.actions import ACTIONS
from workflows.boot_instance import BootInstance
from workflows.delete_instance import DeleteInstance

ERROR = frozenset(("error",))


@dataclass(frozen=True)
class Passing:
    """A task_state. `begins`: vm_states that come with it; `ends`, `fails`: those that follow, empty for the one it
    had. `shows`: its status, where it is another than that of the vm_state, while in `shows_from`. `queues`: clients
    ask for several at once, as Terraform does; Nova refuses none of it, so they take their turn."""

    task_state: str
    operation: str
    workflow: str
    begins: frozenset[str]
    ends: frozenset[str] = frozenset()
    fails: frozenset[str] = frozenset()
    shows: str = ""
    shows_from: frozenset[str] = frozenset()
    queues: bool = False

    @property
    def lost(self) -> Lost:
        return lost(BUILDING if BUILDING in self.begins else "active", self.task_state)


def _of(action: Action, transition: Transition) -> Passing:
    return Passing(
        task_state=transition.doing,
        operation=action.name,
        workflow=action.workflow.__name__,
        begins=transition.allowed,
        ends=frozenset(action.ends),
        shows=transition.shows,
        shows_from=transition.shows_from or transition.allowed,
        queues=bool(action.route),
    )


def _all() -> Iterator[Passing]:
    for task_state in (SCHEDULING, SPAWNING):
        yield Passing(
            task_state, "create", BootInstance.__name__, frozenset((BUILDING,)), frozenset(("active",)), ERROR
        )
    for action in ACTIONS.values():
        for transition in (action.transition, *(each for _, _, each in action.by_body)):
            yield _of(action, transition)
    anything = frozenset((BUILDING, *RESTING)) - {"deleted"}
    yield Passing(SOFT_DELETING, "delete", DeleteInstance.__name__, KEEPABLE, frozenset((SOFT_DELETED,)))
    yield Passing(DELETING, "delete", DeleteInstance.__name__, anything, frozenset(("deleted",)), ERROR)


PASSING: dict[str, tuple[Passing, ...]] = {}
"""task_state → the operations that show it."""
for _each in _all():
    PASSING[_each.task_state] = (*PASSING.get(_each.task_state, ()), _each)


def known(vm_state: str, task_state: str | None) -> bool:
    """Whether the pair is in the table."""
    if task_state is None:
        return vm_state in RESTING
    return any(vm_state in row.begins for row in PASSING.get(task_state, ()))


def queues(task_state: str) -> bool:
    return any(row.queues for row in PASSING.get(task_state, ()))


def shown() -> dict[str, dict[str, str]]:
    """vm_state → task_state → status; the empty task_state stands for every other one."""
    table = {vm_state: {"": status} for vm_state, status in {BUILDING: "BUILD", **RESTING}.items()}
    for rows in PASSING.values():
        for row in rows:
            for vm_state in row.shows_from if row.shows else ():
                table[vm_state][row.task_state] = row.shows
    return table
