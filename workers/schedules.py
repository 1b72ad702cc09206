"""What begins by itself, again and again, by Temporal's schedules: one cloud has each once, however many workers."""

from datetime import timedelta
from typing import Any

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
)
from temporalio.service import RPCError, RPCStatusCode

from infra.contracts.audit import AuditRequest
from infra.settings import Settings
from infra.temporal import CONTROL_QUEUE
from workflows.follow_services import FollowServices
from workflows.reconcile_cloud import ReconcileCloud

FOLLOW = "follow-services"


async def schedule_audit(client: Client, settings: Settings) -> None:
    """Have the cloud audited every `audit_every_s`, and mended where `audit_repairs` says so. A schedule that exists
    takes today's settings."""
    action = ScheduleActionStartWorkflow(
        ReconcileCloud.run,
        AuditRequest(repair=settings.audit_repairs),
        id="reconcile-cloud",
        task_queue=CONTROL_QUEUE,
        static_summary="periodic audit",
    )
    await _schedule(client, "reconcile-cloud", action, settings.audit_every_s)


async def schedule_following(client: Client, settings: Settings) -> None:
    """Have servers' ports looked at every `heal_instance_info_cache_interval`; never where that is 0 or less."""
    if settings.heal_instance_info_cache_interval > 0:
        action = ScheduleActionStartWorkflow(
            FollowServices.run, id=FOLLOW, task_queue=CONTROL_QUEUE, static_summary="periodic look at ports"
        )
        await _schedule(client, FOLLOW, action, settings.heal_instance_info_cache_interval)
        return
    try:
        await client.get_schedule_handle(FOLLOW).delete()
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise


async def _schedule(client: Client, id: str, action: ScheduleActionStartWorkflow, every_s: float) -> None:
    every = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(seconds=every_s))])
    wanted = Schedule(action=action, spec=every, policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP))
    try:
        await client.create_schedule(id, wanted)
    except ScheduleAlreadyRunningError:

        def today(_: Any) -> ScheduleUpdate:
            return ScheduleUpdate(schedule=wanted)

        await client.get_schedule_handle(id).update(today)
