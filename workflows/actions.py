"""The table of actions on servers. From a row come the route's check of body and policy, the 409 in Nova's words, the
workflow's start, the guarded transition in the record, the audit's idea of a passing state, the API's support table."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from infra.contracts.operation import Transition
from workflows.body import NEWEST, Body
from workflows.reboot_instance import RebootBody, RebootInstance
from workflows.server_operation import ServerOperation
from workflows.start_instance import StartInstance
from workflows.stop_instance import StopInstance


@dataclass(frozen=True)
class Action:
    """`name`: key of the body of POST /servers/{id}/action. `rule`: in the policy, below `os_compute_api:`."""

    name: str
    rule: str
    workflow: type[ServerOperation]
    transition: Transition
    body: type[Body] | None = None
    admin: bool = False  # only admins may, by default
    since: int = 1
    until: int = NEWEST
    deadline: timedelta = timedelta(minutes=30)
    by_body: tuple[tuple[str, Any, Transition], ...] = ()  # (field, value, what then applies instead)

    def transition_for(self, body: dict[str, Any]) -> Transition:
        for field, value, transition in self.by_body:
            if body.get(field) == value:
                return transition
        return self.transition


ACTIONS: dict[str, Action] = {
    row.name: row
    for row in (
        Action(
            "os-stop",
            "servers:stop",
            StopInstance,
            Transition(event="stop", verb="stop", allowed=frozenset(("active", "error")), doing="powering-off"),
        ),
        Action(
            "os-start",
            "servers:start",
            StartInstance,
            Transition(event="start", verb="start", allowed=frozenset(("stopped",)), doing="powering-on"),
        ),
        Action(
            "reboot",
            "servers:reboot",
            RebootInstance,
            Transition(event="reboot", verb="reboot", allowed=frozenset(("active",)), doing="rebooting"),
            body=RebootBody,
            by_body=(
                (
                    "type",
                    "HARD",
                    Transition(
                        event="reboot",
                        verb="reboot",
                        allowed=frozenset(("active", "stopped", "paused", "suspended", "error")),
                        doing="rebooting_hard",
                    ),
                ),
            ),
        ),
    )
}
