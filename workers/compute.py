"""The compute worker: everything on one hypervisor host, on a task queue of its own. No database, by construction."""

import asyncio
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from keystoneauth1.session import Session
from temporalio.client import Client
from temporalio.worker import FixedSizeSlotSupplier, Worker, WorkerTuner

from activities.agent import Agent
from activities.aside import Kept
from activities.hypervisor import Hypervisor
from activities.image import Image
from activities.moving import Moving
from activities.network import Network
from activities.rescue import Rescue
from activities.shape import Shape
from activities.snapshot import Snapshot
from activities.volume import Volume
from infra import logs, tracing
from infra.host.agent import GuestAgent
from infra.host.carrier import Carrier
from infra.host.driver import Driver
from infra.host.files.images import ImageStore
from infra.host.hotplug import VolumePlugger
from infra.host.keeper import Keeper
from infra.host.mover import Mover
from infra.host.network.metadata import MetadataServer
from infra.host.network.ports import PortPlugger
from infra.host.network.states import PortStates
from infra.host.network.topology import TopologyPoll
from infra.host.reconcile import reconcile
from infra.host.rescues import Rescues
from infra.host.services.control import ControlClient
from infra.host.services.fence import Fence
from infra.host.services.volumes import VolumeConnector
from infra.host.shapes import Shapes
from infra.host.snapshots import Snapshots
from infra.host.tidying import Tidier
from infra.openstack import service_session
from infra.settings import Settings
from infra.temporal import compute_queue, connect, meter
from workers.build import build_id
from workers.collect import activities_of
from workers.host_loops import TOPOLOGY_WAIT_S, Heartbeat, follow_guests, loops
from workers.interceptors import StepInterceptor
from workers.settle import settle
from workers.sign_in import as_host
from workers.slots import HEAVY, BuildSlots

if TYPE_CHECKING:
    from infra.hostnet.plane import DataPlane

GRACE = timedelta(seconds=8)
PATIENCE_S = 600.0  # for Temporal; then the supervisor starts the process anew
log = logs.get(__name__)


@dataclass
class Host:
    """The parts of one host, connected."""

    settings: Settings
    session: Session
    hostnet: "DataPlane | None"
    states: PortStates | None
    control: ControlClient
    driver: Driver
    images: ImageStore

    @classmethod
    def connect(cls, settings: Settings) -> "Host":
        """May take some seconds the first time: whether KVM works is tried out."""
        session = service_session(settings)
        hostnet: DataPlane | None = None
        if settings.host_networking == "kilonova":
            from infra.hostnet.network import HostNetwork

            own = HostNetwork(settings)
            own.ensure_namespace()
            hostnet = own
        control = ControlClient(settings, session)
        states = PortStates(settings, session, hostnet) if hostnet else None
        driver = Driver(settings, control, (hostnet, states) if hostnet and states else None)
        return cls(settings, session, hostnet, states, control, driver, ImageStore(settings, session))

    def activities(self) -> list[Any]:
        """Every step that runs on a host, bound to this one."""
        volumes = VolumeConnector(self.settings, self.session, self.control)
        ports = PortPlugger(self.settings, self.session, self.hostnet, self.control)
        fence = Fence(self.settings.host, self.control)
        return activities_of(
            Image(self.images, fence),
            Network(ports),
            Volume(volumes, VolumePlugger(volumes, self.driver.disks)),
            Hypervisor(self.driver, self.images),
            Agent(GuestAgent(self.driver)),
            Kept(Keeper(self.settings, self.driver)),
            Rescue(Rescues(self.settings, self.driver, self.images)),
            Shape(Shapes(self.settings, self.driver)),
            Moving(Mover(self.driver, ports, volumes), Carrier(self.settings, self.session, self.driver, fence)),
            Snapshot(Snapshots(self.settings, self.session, self.driver)),
        )


def compute_worker(client: Client, settings: Settings, activities: list[Any], pool: ThreadPoolExecutor) -> Worker:
    """A worker on the host's queue. At most `max_concurrent_builds` guests are spawned at once; what does not fit
    waits in the queue. Heartbeats are passed on every second, so that a cancel arrives as fast."""
    one = FixedSizeSlotSupplier(1)
    return Worker(
        client,
        task_queue=compute_queue(settings.host),
        build_id=build_id(),
        activities=activities,
        activity_executor=pool,
        tuner=WorkerTuner.create_composite(
            workflow_supplier=one,
            activity_supplier=BuildSlots(settings.max_concurrent_builds),
            local_activity_supplier=one,
            nexus_supplier=one,
        ),
        max_heartbeat_throttle_interval=timedelta(seconds=1),
        default_heartbeat_throttle_interval=timedelta(seconds=1),
        graceful_shutdown_timeout=GRACE,
        interceptors=[StepInterceptor(settings.host, settings.failpoints_dir)],
    )


async def run_compute(settings: Settings) -> None:
    """Serve one host until SIGTERM or SIGINT; ends the process. What nobody claims is undone before any new work."""
    logs.setup("worker-compute", settings.log_level)
    tracing.setup("worker-compute", settings)
    life = _Life()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, life.end)
    serving = asyncio.create_task(_serve(as_host(settings), life))
    await asyncio.wait({serving, asyncio.create_task(life.stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
    code = 0
    try:
        if serving.done() or life.working:
            await asyncio.wait_for(serving, GRACE.total_seconds() + 4)
    except TimeoutError:
        log.warning("steps did not end in time; they are repeated elsewhere or later")
    except Exception as error:
        log.error("compute worker failed", exc_info=error)
        code = 1
    tracing.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the SDK sometimes aborts at interpreter exit, and a libvirt call may still hang


class _Life:
    """Of the process: when it is to end, for tasks and for threads, and whether it takes steps yet."""

    def __init__(self) -> None:
        self.stop, self.stopping = asyncio.Event(), threading.Event()
        self.working = False

    def end(self) -> None:
        self.stop.set()
        self.stopping.set()


async def _serve(settings: Settings, life: _Life) -> None:
    host = await asyncio.to_thread(Host.connect, settings)
    log.info("host connected", host=settings.host, virt_type=host.driver.virt.virt_type, why=host.driver.virt.reason)
    await asyncio.to_thread(reconcile, host.driver, host.control, life.stopping)
    await asyncio.to_thread(GuestAgent(host.driver).thaw_left)
    host.driver.events.start()
    client = await connect(settings, metrics_port=settings.host_metrics_port, patience_s=PATIENCE_S)
    unknown = meter(client).create_gauge("kilonova_unknown_guests", "Guests on this host that no record knows")
    heartbeat = Heartbeat(settings, host.driver, host.control, host.images.newest, life.stopping, unknown.set)
    topology = None
    if host.hostnet and host.states:
        topology = TopologyPoll(settings, host.session, host.hostnet, host.states, TOPOLOGY_WAIT_S)
    with ThreadPoolExecutor(settings.max_concurrent_builds * HEAVY + 2, "step") as pool:
        async with compute_worker(client, settings, host.activities(), pool):
            life.working = True
            tidier = Tidier(settings, host.driver, host.control)
            tasks = loops(settings, heartbeat, host.driver, host.images.cache, topology, host.hostnet, tidier)
            if host.hostnet:
                tasks.append(asyncio.create_task(MetadataServer(settings, host.session).run()))
            back = (settings, host.driver, host.control, life.stopping)
            tasks.append(asyncio.create_task(follow_guests(*back)))
            settle()
            log.info("ready", queue=compute_queue(settings.host))
            await life.stop.wait()
            for task in tasks:
                task.cancel()
