"""Every minute: look whether servers' ports and volumes are what their records say, and have those follow that are
not."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.following import Following
    from activities.growing import Growing
    from infra.contracts.following import Begins, FollowReport, FollowRequest

from workflows.actions import ACTIONS

STUCK = frozenset(("error", "suspended", "rescued"))
"""vm_states in which nobody may detach a volume, and from which none gets away whose attachment was ended."""
AT_MOST_S = 120.0
"""An operation that a look begins holds its server no longer: the next look begins it again."""


@workflow.defn
class FollowServices:
    @workflow.run
    async def run(self) -> FollowReport:
        ports = await self._look(Following.follow_ports, "compare records and ports")
        volumes = await self._look(Growing.follow_volumes, "compare records and volumes")
        told = {"grown": volumes.grown, "released": volumes.released, "left": ports.left + volumes.left}
        return ports.model_copy(update=told)

    async def _look(self, at: Callable[[Any, FollowRequest], Awaitable[FollowReport]], summary: str) -> FollowReport:
        return await workflow.execute_activity_method(
            at,
            asked(),
            start_to_close_timeout=timedelta(minutes=30),
            heartbeat_timeout=timedelta(seconds=60),
            retry_policy=RetryPolicy(maximum_attempts=3),
            summary=summary,
        )


def asked() -> FollowRequest:
    """What a look may begin."""
    return FollowRequest(
        refresh=_begins("refresh_network"),
        detach=_begins("detach_interface"),
        extend=_begins("extend_volume"),
        release=_begins("detach_volume", also=STUCK),
    )


def _begins(name: str, also: frozenset[str] = frozenset()) -> Begins:
    row = ACTIONS[name]
    transition = row.transition.model_copy(update={"allowed": row.transition.allowed | also})
    return Begins(action=name, workflow=row.workflow.__name__, transition=transition, deadline_s=AT_MOST_S)
