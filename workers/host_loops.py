"""What a compute worker does besides steps: heartbeat, networks, repair, guests that come back with their host."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from infra import logs
from infra.contracts.power_states import RUNNING
from infra.host.driver import Driver
from infra.host.files.cache import ImageCache
from infra.host.network.topology import TopologyPoll
from infra.host.reconcile import reconcile
from infra.host.services.control import ControlClient
from infra.host.states import StatesNow
from infra.host.tidying import Tidier
from infra.settings import Settings
from workers import guests

if TYPE_CHECKING:
    from infra.hostnet.plane import DataPlane

TOPOLOGY_S, SYNC_S, VOLUMES_S, LOGS_S, TIDY_S, STATES_S = 0.2, 5.0, 3.0, 30.0, 30.0, 60.0
TOPOLOGY_WAIT_S = 2.0
"""So long the network service may take to say that nothing has changed; a change it tells at once."""
SCRUB_S = 6 * 3600.0
RECOUNT_S = 60.0
"""How often the host looks for what is not its own, and counts the guests that the control plane does not know."""
NAMED = 20
RESTART_TRIES = 30
AFTERMATH_S = 30.0
"""So long after a silence steps may still end that were begun before it; what they leave is nobody's."""
log = logs.get(__name__)


class Heartbeat:
    """Reports the inventory, and touches `settings.host_report` once that has arrived. After a silence in which the
    host may have been given up, it reconciles first: what it then reports as `started_at` tells the control plane that
    nothing is left of before. Until the first reports have arrived a delete may still take the host for one that is
    down, and leave to it what lies here.

    `images` tells which the host has. `counted` is told how many guests here nobody knows, whenever they were
    counted."""

    def __init__(
        self,
        settings: Settings,
        driver: Driver,
        control: ControlClient,
        images: Callable[[], list[str]],
        stopping: threading.Event,
        counted: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._settings, self._driver, self._control, self._stopping = settings, driver, control, stopping
        self._images = images
        self._last = time.monotonic()
        self._aftermath = time.monotonic() + AFTERMATH_S  # when it ends
        self._counted, self._count_at = counted, 0.0
        self._unknown: list[str] = []
        self.started_at = datetime.now(UTC)

    def _look(self) -> None:
        if time.monotonic() - self._last > self._settings.host_down_after_s:
            log.warning("this host was silent for long enough to be given up")
            self._unknown = self._reconciled()
            self.started_at = datetime.now(UTC)
            self._aftermath = time.monotonic() + AFTERMATH_S
        elif time.monotonic() < self._aftermath or time.monotonic() > self._count_at:
            self._unknown = self._reconciled()
        else:
            return
        self._counted(len(self._unknown))
        self._count_at = time.monotonic() + RECOUNT_S

    def _reconciled(self) -> list[str]:
        """Raises what the control plane or libvirt raise: then nothing is reported, and all of it is tried again."""
        return reconcile(self._driver, self._control, self._stopping, patient=False).unknown

    def __call__(self) -> None:
        self._look()
        host = self._driver.inventory()
        running = [instance_id for instance_id, state in self._driver.domains().items() if state == 1]
        self._control.heartbeat(
            {
                **host,
                "host_ip": self._settings.advertise,
                "zone": self._settings.availability_zone,
                "started_at": self.started_at.isoformat(),
                "facts": {**host["facts"], "running": running, "unknown": self._unknown[:NAMED]}
                | {"unknown_count": len(self._unknown), "images": self._images()},
            }
        )
        self._last = time.monotonic()
        with contextlib.suppress(OSError):  # a full disk keeps no host from reporting
            self._settings.host_report.touch()


def loops(
    settings: Settings,
    heartbeat: Heartbeat,
    driver: Driver,
    images: ImageCache,
    topology: TopologyPoll | None,
    hostnet: "DataPlane | None",
    tidier: Tidier,
) -> list[asyncio.Task[None]]:
    """Tasks that run until they are cancelled; a failure is logged and tried again at the next turn."""
    turns: list[tuple[str, float, Callable[[], object]]] = [
        ("heartbeat", settings.heartbeat_s, heartbeat),
        ("tidying", TIDY_S, tidier),
    ]
    if driver.virt.virt_type != "test":
        turns.append(("image scrub", SCRUB_S, images.scrub))
        turns += [("console logs", LOGS_S, driver.files.trim_logs), ("volumes", VOLUMES_S, driver.resume_waiting)]
        turns.append(("late releases", VOLUMES_S, driver.late_releases))
    if topology and hostnet:
        turns += [("networks", TOPOLOGY_S, topology), ("network repair", SYNC_S, hostnet.sync)]
    return [asyncio.create_task(_every(name, seconds, work)) for name, seconds, work in turns]


async def _every(name: str, seconds: float, work: Callable[[], object]) -> None:
    failing = False
    while True:
        begun = time.monotonic()
        try:
            await asyncio.to_thread(work)
            failing = False
        except Exception as error:
            if not failing:
                log.warning(f"{name} failed; trying again", error=f"{type(error).__name__}: {error}")
            failing = True
        await asyncio.sleep(max(0.1, seconds - (time.monotonic() - begun)))


def _started(driver: Driver, control: ControlClient, instance_id: str, *, asks: bool) -> bool:
    """Whether the guest runs again. One that cannot start keeps no other waiting. `asks`: its config drive is to tell
    what the records say now."""
    try:
        driver.start(instance_id, control.guest(instance_id) if asks else None)
    except Exception as error:
        log.warning("guest not started again yet", instance_id=instance_id, error=str(error))
        return False
    return True


async def follow_guests(settings: Settings, driver: Driver, control: ControlClient, stopping: threading.Event) -> None:
    """Guests come back first: until they have, that one is off is no news. Then their states are looked at."""
    await asyncio.to_thread(bring_back, settings, driver, control, stopping)
    await _every("states", STATES_S, StatesNow(driver, control))


def bring_back(settings: Settings, driver: Driver, control: ControlClient, stopping: threading.Event) -> None:
    """Start the guests that went down with this host, then tell the control plane every guest's state.

    They are those that `kilonova down` took down and, where the machine was booted since the last time, those that the
    control plane knows as active here, or resized and running (Nova's resume_guests_state_on_host_boot). Until they
    run, or are given up, the control plane is not told that they are off; one that a tenant stops meanwhile is left
    so. Their config drives tell what the records say now, unless that cannot be had for half the time."""
    waiting = set(guests.taken_down(settings.host_dir))
    before: dict[str, str | None] = {}
    booted = settings.resume_guests_state_on_host_boot and guests.machine_was_booted(settings.host_dir)
    for turn in range(RESTART_TRIES):
        driver.events.awaits(waiting)
        try:
            if waiting or booted:
                claims = {claim.instance_id: claim for claim in control.claims()}
                ran = ("active", "rescued")
                active = {
                    id
                    for id, claim in claims.items()
                    if not claim.task_state
                    and (claim.vm_state in ran or (claim.vm_state == "resized" and claim.power_state == RUNNING))
                }
                waiting = (waiting & claims.keys()) | (active if booted else set())
                waiting = {id for id in waiting if claims[id].vm_state == before.setdefault(id, claims[id].vm_state)}
                driver.events.awaits(waiting)
            booted = False
            waiting = {
                id for id in sorted(waiting) if not _started(driver, control, id, asks=turn <= RESTART_TRIES // 2)
            }
            driver.report_all()
            if not waiting:
                break
        except Exception as error:
            log.warning("guests not started again yet", count=len(waiting), error=str(error))
        if stopping.wait(2.0):
            return
    driver.events.awaits(())
    driver.report_quietly()
    guests.forget(settings.host_dir)
    guests.note_boot(settings.host_dir)
