"""Every minute: look whether servers' ports are what their records say, and have those follow that are not."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.following import Following
    from infra.contracts.following import Begins, FollowReport, FollowRequest

from workflows.actions import ACTIONS

AT_MOST_S = 120.0
"""An operation that a look begins holds its server no longer: the next look begins it again."""


@workflow.defn
class FollowServices:
    @workflow.run
    async def run(self) -> FollowReport:
        return await workflow.execute_activity_method(
            Following.follow_ports,
            asked(),
            start_to_close_timeout=timedelta(minutes=30),
            heartbeat_timeout=timedelta(seconds=60),
            retry_policy=RetryPolicy(maximum_attempts=3),
            summary="compare records and ports",
        )


def asked() -> FollowRequest:
    """What a look may begin."""
    return FollowRequest(refresh=_begins("refresh_network"), detach=_begins("detach_interface"))


def _begins(name: str) -> Begins:
    row = ACTIONS[name]
    return Begins(action=name, workflow=row.workflow.__name__, transition=row.transition, deadline_s=AT_MOST_S)
