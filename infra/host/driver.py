"""Guests on this host: spawned behind the claim, destroyed, looked at. libvirt below, no database (seed step 29)."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import libvirt

from infra import logs
from infra.contracts.diagnostics import Diagnostics
from infra.contracts.errors import hopeless, host_cannot
from infra.contracts.guarded import Guarded
from infra.contracts.hypervisor import DomainSpec, HostFacts, Spawned
from infra.contracts.power_states import PAUSED, RUNNING, SHUTDOWN
from infra.host.able import abilities_of
from infra.host.cgroups import GuestGroups
from infra.host.definer import Clock, Definer
from infra.host.disks import DiskPlugger
from infra.host.files.guest import GuestFiles
from infra.host.files.paths import HostPaths, checked
from infra.host.heartbeats import Heartbeat, Turns, beating
from infra.host.interfaces import InterfacePlugger
from infra.host.late_releases import LateReleases
from infra.host.libvirt import console, faults
from infra.host.libvirt.agents import Agents
from infra.host.libvirt.connection import Connection, run_event_loop
from infra.host.libvirt.definitions import Definitions, revive
from infra.host.libvirt.disk_waits import DiskWaits
from infra.host.libvirt.domain_xml import volume_xml
from infra.host.libvirt.domains import Domains
from infra.host.libvirt.events import Events
from infra.host.libvirt.faults import LibvirtDown
from infra.host.libvirt.interfaces import Interfaces
from infra.host.libvirt.inventory import Inventory
from infra.host.libvirt.looks import STATES
from infra.host.libvirt.mirroring import Mirrors
from infra.host.libvirt.owned import Owned
from infra.host.libvirt.statistics import Statistics
from infra.host.libvirt.virt_type import detect
from infra.host.network.nics import Nics
from infra.host.power import PowerSwitch
from infra.host.reach import unreachable
from infra.host.services.control import ControlClient, LifecycleEvent
from infra.host.services.fence import Fence
from infra.host.swaps import DiskSwapper
from infra.host.waiting import WaitingGuests
from infra.interruption import is_cancelled, still_wanted
from infra.settings import Settings

if TYPE_CHECKING:
    from infra.host.network.states import PortStates
    from infra.hostnet.plane import DataPlane

CLAIM_AGE_S = 5.0
"""A claim moves to another host only when this one was silent for longer; an older answer is asked for again."""
log = logs.get(__name__)


class Driver:
    """Thread-safe; one step at a time per instance. `network` is None where this host plugs nothing itself."""

    def __init__(
        self, settings: Settings, control: ControlClient, network: "tuple[DataPlane, PortStates] | None" = None
    ) -> None:
        run_event_loop()
        self._host = settings.host
        self._fence, self._hostnet = Fence(settings.host, control), network and network[0]
        self._paths = HostPaths(settings)
        self.files = GuestFiles(self._paths)
        self.virt = detect(settings)
        self._pretend = self.virt.virt_type == "test"
        self.events = Events(control)
        connection = Connection(settings.libvirt_uri, self._opened)
        groups = GuestGroups(settings)
        self._domains = Domains(connection, settings.host, groups, lambda id, limits: self.nics.limit(id, limits))
        self.events.look, self.events.waits = Owned(connection, settings.host).state, self._domains.waits_for
        self.mirrors, self.definitions = Mirrors(connection), Definitions(connection)
        self.agents, self._statistics = Agents(connection), Statistics(connection)
        can = abilities_of(settings, groups, self._hostnet)
        self.inventory = Inventory(connection, self._paths, self.virt, can)
        self._turns = Turns()
        self.nics = Nics(self._domains, network, self._turns, self.virt.virt_type)
        parts = (self._domains, self.files, self._fence, self.events, self._turns)
        self.waits = DiskWaits(connection, settings.host)
        self.resume_waiting = WaitingGuests(self.waits, self._domains, self.files, self._turns, self.events)
        self._definer = Definer(settings, self.files, self.definitions, self.virt)
        self.power = PowerSwitch(parts, self._definer, self.nics, pretend=self._pretend)
        self.power.patience_s = settings.shutdown_timeout_s
        self.disks = DiskPlugger(*parts, pretend=self._pretend)
        self.swaps = DiskSwapper(parts, self.mirrors, pretend=self._pretend)
        devices = (Interfaces(connection), self.definitions, self.nics)
        self.interfaces = InterfacePlugger(parts, devices, self.virt.virt_type)
        self.disks.detach_s = self.interfaces.detach_s = settings.detach_timeout_s
        self.late_releases = LateReleases(parts, devices)

    @contextmanager
    def at_work(self, want: Guarded) -> Iterator[None]:
        """The turn on one server, whose events are no news meanwhile. HostCannot when this host has lost its claim."""
        with self._turns.take(checked(want.instance_id)), self.events.held(want.instance_id):
            self._fence.require(want)
            yield

    def spawn(self, spec: DomainSpec, heartbeat: Heartbeat) -> Spawned:
        """See `activities.hypervisor.Hypervisor.spawn`."""
        checked(spec.instance_id)
        with beating(heartbeat), self._turns.take(spec.instance_id), self.events.held(spec.instance_id):
            try:
                with self._fence.unless_lost(spec, lambda: self._leave(spec)) if spec.lays else nullcontext():
                    spawned = self._spawn(spec)
                    self.nics.carried(spec.instance_id)
                return spawned
            except libvirt.libvirtError as error:
                if lost := unreachable({(volume.socket or volume.host, volume.port) for volume in spec.volumes}):
                    raise LibvirtDown(f"the volume server at {lost} does not answer") from None
                raise faults.sort(error, self._host, [volume.export for volume in spec.volumes]) from None
            finally:
                if is_cancelled():
                    self._require_claim(spec)  # of a build that is over already there is nobody left to undo it

    def start(self, instance_id: str, told: DomainSpec | None = None) -> None:
        """Start a guest of this host again as it was, its volumes included; one that runs is left alone. `told`: what
        its config drive says from now on."""
        with self._turns.take(instance_id), self.events.held(instance_id):
            if (state := self._domains.power_state(instance_id)) != RUNNING:
                if told and state == SHUTDOWN and not self._pretend:
                    self._definer.write_drive(told)
                self.files.let_in(instance_id, volumes := self.files.volumes(instance_id))
                self._domains.start(instance_id, paused=not self._pretend)
                self._domains.attach(instance_id, volumes)
                self._domains.resume(instance_id)
                self.files.note_paused(instance_id, paused=False)
            self.nics.carried(instance_id)

    def destroy(self, instance_id: str, attempt: int = 0) -> None:
        """See `activities.hypervisor.Hypervisor.destroy`."""
        checked(instance_id)
        with self._turns.take(instance_id), self.events.held(instance_id, ends=True):
            if attempt and (self._domains.attempt(instance_id) or 0) > attempt:
                return
            self.files.forget_domain(instance_id)
            self._domains.destroy(instance_id)
            self.files.remove_guest(instance_id)

    def clean_up(self, instance_id: str) -> None:
        """Undo what an instance left on this host: domain, plugged ports, files. What other services hold for it is
        not this host's to decide."""
        self.destroy(instance_id)
        if self._hostnet:
            for port_id, owner in self._hostnet.ports().items():
                if owner == instance_id:
                    self._hostnet.unplug(port_id, instance_id)
        with self._turns.take(instance_id):
            self.files.remove_all(instance_id)

    def console_output(self, instance_id: str, length: int | None) -> str:
        """The last `length` lines (None: all) of the serial log, at most 100 KiB; "" when there is none."""
        return console.tail(self._paths.console_log(instance_id), length)

    def console_target(self, instance_id: str, kind: str = "vnc") -> str:
        """`unix_socket:PATH` or `host:port` of the guest's VNC server, or of its serial port (`kind` serial, sockets
        only). Hopeless: 409 when the guest does not run, 400 when it has no such console."""
        xml = self._domains.live_xml(checked(instance_id))
        if xml is None:
            raise hopeless(f"Instance {instance_id} is not ready", code=409)
        target = console.serial_target(xml) if kind == "serial" else console.vnc_target(xml)
        if target is None and kind == "serial":
            raise hopeless("Unavailable console type serial.", code=400)
        if target is None:
            raise hopeless(f"Instance {instance_id} is not ready", code=409)
        if target.startswith(console.SOCKET):
            socket = self._paths.serial_socket if kind == "serial" else self._paths.vnc_socket
            return f"{console.SOCKET}{socket(instance_id)}"
        return target

    def diagnostics(self, instance_id: str) -> Diagnostics:
        """See `activities.hypervisor.Hypervisor.diagnostics`."""
        state = self._domains.power_state(checked(instance_id))
        word = STATES.get(state or 0, "pending")
        if state != RUNNING or (found := self._statistics.of(instance_id, word)) is None:
            words = f"Cannot 'get_diagnostics' instance {instance_id} while it is in power state {word}"
            raise hopeless(words, code=409)
        return found

    def power_state(self, instance_id: str) -> int | None:
        """In Nova's numbers; None without a guest."""
        return self._domains.power_state(checked(instance_id))

    def domains(self) -> dict[str, int]:
        """instance id → power state in Nova's numbers, of this host's instances."""
        return self._domains.all()

    def present(self) -> dict[str, int]:
        """Ids of all instances that have anything on this host, with the attempt of each guest (0: no guest)."""
        return (
            dict.fromkeys([*self._paths.known_instances(), *self.nics.ports().values()], 0) | self._domains.attempts()
        )

    def facts(self) -> HostFacts:
        """What lies on this host, whatever the records say."""
        return HostFacts(
            host=self._host,
            domains=self.domains(),
            attempts=self._domains.attempts(),
            waiting=self.waits.all(),
            **self.files.facts(),
            **self.nics.facts(),
        )

    def report_all(self) -> None:
        """Tell the control plane every guest's state, after a time in which events may have been missed."""
        for instance_id, state in self.domains().items():
            self.events.note(LifecycleEvent(instance_id=instance_id, power_state=state, reason="seen on the host"))

    def _spawn(self, spec: DomainSpec) -> Spawned:
        clock = Clock()
        state = self._domains.power_state(spec.instance_id)
        if state is not None and (made_by := self._domains.attempt(spec.instance_id)) != spec.attempt:
            if (made_by or 0) > spec.attempt:
                raise self._fence.lost()
            self._domains.destroy(spec.instance_id)  # of a build that was given up
            state = None
        if state == RUNNING:
            self._require_claim(spec)
            return Spawned(power_state=RUNNING, virt_type=self.virt.virt_type)
        made = self._definer.define(spec, clock) if state != PAUSED else None
        start = partial(self._domains.start, spec.instance_id, paused=not self._pretend, made=made)
        if self._pretend:
            runs = self._let_run(spec, lambda: self._begin_to_pretend(spec.instance_id, start)) == RUNNING
        else:
            start()
            self._domains.attach(spec.instance_id, {volume.device: volume_xml(volume) for volume in spec.volumes})
            clock.lap("start")
            runs = self._let_run(spec, lambda: self._domains.resume(spec.instance_id)) == RUNNING
        if not runs:
            self._see_running(spec.instance_id)
        clock.lap("run")
        return Spawned(power_state=RUNNING, virt_type=self.virt.virt_type, parts=clock.parts)

    def _begin_to_pretend(self, instance_id: str, start: Callable[[], object]) -> object:
        self._domains.connect()  # or a new connection would start what is noted, and this find it running
        self.files.keep_running(instance_id, True)  # first: a worker that dies after the start notes nothing any more
        return start()

    def _let_run(self, spec: DomainSpec, run: Callable[[], object]) -> object:
        """`run` begins the guest's first instruction: not without the claim, nor on one that may have moved since."""
        still_wanted()
        asked = time.monotonic()
        self._require_claim(spec)
        ran = run()
        if time.monotonic() - asked > CLAIM_AGE_S:
            self._require_claim(spec)
        return ran

    def _require_claim(self, spec: DomainSpec) -> None:
        if not self._fence.holds(spec):
            self._leave(spec)
            raise self._fence.lost()

    def _leave(self, spec: DomainSpec) -> None:
        """What a spawn without its claim made; a later attempt's is none of it."""
        if (self._domains.attempt(spec.instance_id) or 0) <= spec.attempt:
            self.files.forget_domain(spec.instance_id)
            self._domains.destroy(spec.instance_id)
        if spec.lays and not self._fence.superseded(spec):  # the undo that would take the disk away has been here
            self.files.remove_all(spec.instance_id)
        self.files.leave_if_empty(spec.instance_id)

    def _see_running(self, instance_id: str) -> None:
        end = time.monotonic() + 5.0
        while self._domains.power_state(instance_id) != RUNNING:
            if time.monotonic() > end:
                raise host_cannot(f"host {self._host}: the guest stopped as soon as it was started")
            time.sleep(0.1)

    def _opened(self, connection: Any, again: bool) -> None:
        event = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
        connection.domainEventRegisterAny(None, event, self.events.from_libvirt, None)
        self.late_releases.follow(connection)
        if self._pretend:
            revive(connection, self.files.kept_domains())
        if again:
            threading.Thread(target=self.report_quietly, name="report", daemon=True).start()

    def report_quietly(self) -> None:
        """As `report_all`; without libvirt there is nothing to tell."""
        try:
            self.report_all()
        except (LibvirtDown, libvirt.libvirtError) as error:
            log.warning("states not reported", error=str(error))
