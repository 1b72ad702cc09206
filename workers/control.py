"""The control worker: workflows, and the steps that need the database (conductor and scheduler of the seeds)."""

import asyncio
import os
import signal
import socket
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from keystoneauth1.session import Session
from sqlmodel import col, func, select
from temporalio.client import Client
from temporalio.worker import Worker

from activities.audit import Audit
from activities.following import Following
from activities.growing import Growing
from activities.identity import Identity
from activities.image_record import ImageRecord
from activities.instance import Instance
from activities.later import Later
from activities.looking import Looker
from activities.placement import Placement
from activities.resize import Resize
from activities.scheduling.scheduler import Scheduler
from activities.security_groups import SecurityGroups
from activities.services import Services
from infra import logs, tracing
from infra.auditing.hosts import AuditedHosts
from infra.auditing.operations import ServerOperations
from infra.auditing.services import AuditedServices
from infra.codec import KeyRing
from infra.database import Database
from infra.host.network.ports import PortPlugger
from infra.host.services.glance import Images
from infra.host.services.port_groups import PortGroups
from infra.host.services.ports_now import PortsNow
from infra.host.services.volume_snapshots import SnapshotClient
from infra.host.services.volumes import VolumeConnector
from infra.host.services.volumes_now import VolumesNow
from infra.identity import TokenValidator
from infra.openstack import service_session
from infra.settings import Settings
from infra.starting import Starter
from infra.stores.audited import AuditedRecords
from infra.stores.causes import Causes
from infra.stores.claims import Claims
from infra.stores.followed import FollowedRecords
from infra.stores.instances import Records
from infra.stores.resizes import Resizes
from infra.stores.transitions import Transitions
from infra.tables.compute import Instance as InstanceRow
from infra.tables.compute import Service, now
from infra.temporal import CONTROL_QUEUE, connect, meter
from workers.build import build_id
from workers.collect import activities_of
from workers.interceptors import StepInterceptor
from workers.sandbox import runner
from workers.schedules import schedule_audit, schedule_following
from workers.settle import settle
from workers.sign_in import as_service
from workers.walks import walk_once
from workflows.actions import ACTIONS
from workflows.begin_later import BeginLater
from workflows.boot_instance import BootInstance
from workflows.delete_instance import DeleteInstance
from workflows.follow_services import FollowServices
from workflows.reconcile_cloud import ReconcileCloud
from workflows.repair_instance import RepairInstance

WORKFLOWS: list[Any] = [
    BeginLater,
    BootInstance,
    DeleteInstance,
    FollowServices,
    ReconcileCloud,
    RepairInstance,
    *{row.workflow for row in ACTIONS.values()},
]
REPORT_EVERY_S = 10.0
POLLS = 5
"""Polls for operations that begin, and as many for those that run. With the SDK's one and four, requests that come
together wait for each other."""
log = logs.get(__name__)


def control_activities(settings: Settings, database: Database, client: Client) -> list[Any]:
    settings = as_service(settings, "nova")
    session = service_session(settings)
    claims, ring = Claims(database, Scheduler(settings)), KeyRing.load(settings.codec_keys)
    return activities_of(
        Identity(TokenValidator(settings)),
        Instance(Records(database, ring), Transitions(database, ring)),
        Later(Starter(client), Causes(database)),
        Following(FollowedRecords(database), PortsNow(session, settings.region), Starter(client)),
        Growing(FollowedRecords(database), VolumesNow(session, settings.region), Starter(client)),
        Placement(claims),
        Resize(Resizes(database, claims)),
        Services(PortPlugger(settings, session, None, fenced=False), VolumeConnector(settings, session, fenced=False)),
        SecurityGroups(PortGroups(session, settings.region)),
        ImageRecord(Images(session, settings.region), SnapshotClient(session, settings.region)),
        audit_of(settings, client, database, session, claims),
    )


def audit_of(settings: Settings, client: Client, database: Database, session: Session, claims: Claims) -> Audit:
    """The audit with its connections; `session` is the compute service's own."""
    records = AuditedRecords(database)
    looker = Looker(records, AuditedHosts(client, claims.up_hosts), AuditedServices(settings, session))
    return Audit(looker, ServerOperations(client), records)


def control_worker(client: Client, activities: list[Any], pool: ThreadPoolExecutor, failpoints: Path | None) -> Worker:
    """A worker on the control queue. Local activities run in `pool`: short, and bounded by the database's pool."""
    walk_once()
    return Worker(
        client,
        task_queue=CONTROL_QUEUE,
        build_id=build_id(),
        workflows=WORKFLOWS,
        activities=activities,
        activity_executor=pool,
        max_concurrent_local_activities=16,
        max_concurrent_activities=8,
        max_concurrent_workflow_tasks=64,
        max_concurrent_workflow_task_polls=2 * POLLS,
        nonsticky_to_sticky_poll_ratio=0.5,
        workflow_runner=runner(),
        interceptors=[StepInterceptor("", failpoints)],
    )


async def run_control(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    logs.setup("worker-control", settings.log_level)
    tracing.setup("worker-control", settings)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    database = Database("compute", state_dir=settings.state_dir)
    await asyncio.to_thread(database.migrate)
    client = await connect(settings, metrics_port=settings.port("metrics"), patience_s=600)
    with ThreadPoolExecutor(16, "step") as pool:
        async with control_worker(
            client, control_activities(settings, database, client), pool, settings.failpoints_dir
        ):
            await schedule_audit(client, settings)
            await schedule_following(client, settings)
            settle()
            log.info("ready", queue=CONTROL_QUEUE)
            parked = meter(client).create_gauge("kilonova_parked", "Builds that wait for a decision")
            while not stop.is_set():
                try:
                    parked.set(await asyncio.to_thread(report, database))
                except Exception:
                    log.warning("could not report", exc_info=True)
                try:
                    await asyncio.wait_for(stop.wait(), REPORT_EVERY_S)
                except TimeoutError:
                    continue
    tracing.flush()
    sys.stdout.flush()
    os._exit(0)  # the SDK sometimes aborts at interpreter exit


def report(database: Database) -> int:
    """Show this worker in the service list, as the conductor and the scheduler that it is. Counts parked builds."""
    host = socket.gethostname()
    with database.write() as session:
        for binary in ("nova-conductor", "nova-scheduler"):
            found = session.exec(select(Service).where(Service.binary == binary, Service.host == host)).first()
            service = found or Service(id=str(uuid.uuid4()), binary=binary, host=host, zone="internal")
            service.last_seen = now()
            session.add(service)
        waiting = select(func.count()).where(
            col(InstanceRow.parked).is_not(None), col(InstanceRow.deleted_at).is_(None)
        )
        return session.exec(waiting).one()
