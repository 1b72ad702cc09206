"""A row of the table of actions."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from infra.contracts.operation import Transition
from workflows.body import NEWEST, Body
from workflows.server_operation import ServerOperation


@dataclass(frozen=True)
class Action:
    """`name`: key of the body of POST /servers/{id}/action, unless there is a `route`.

    `rule`: in the policy, below `os_compute_api:`."""

    name: str
    rule: str
    workflow: type[ServerOperation]
    transition: Transition
    body: type[Body] | None = None
    admin: bool = False  # only admins may, by default
    since: int = 1
    until: int = NEWEST
    deadline: timedelta = timedelta(minutes=30)
    status: int = 202  # of the answer, where that is empty
    route: str = ""  # where it is asked for, when not by POST /servers/{id}/action
    ends: tuple[str, ...] = ()  # vm_states that follow; none: the one it had, as always after a failure
    by_body: tuple[tuple[str, Any, Transition], ...] = ()  # (field, value, what then applies instead)

    def transition_for(self, body: dict[str, Any]) -> Transition:
        for field, value, transition in self.by_body:
            if body.get(field) == value:
                return transition
        return self.transition
