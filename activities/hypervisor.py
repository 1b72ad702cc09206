"""The domain itself: config drive, define, start, seen running (seed step 29)."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.step import step
from infra.contracts.diagnostics import Diagnostics
from infra.contracts.guarded import Guarded
from infra.contracts.hypervisor import (
    ConsoleOutput,
    ConsoleOutputRequest,
    ConsoleRequest,
    ConsoleTarget,
    DomainRef,
    DomainSpec,
    HostFacts,
    HostRef,
    InstanceRef,
    NicOnGuest,
    NicsOnHost,
    Spawned,
)
from infra.contracts.image import ImageOnHost
from infra.contracts.power import Power, PowerOff, PowerOn, Reboot
from infra.contracts.step import Done
from infra.contracts.volume import DiskOnGuest, DiskSize, DiskSwap

if TYPE_CHECKING:
    from infra.host.driver import Driver
    from infra.host.files.images import ImageStore


class Hypervisor:
    """Runs on the queue of the chosen host."""

    def __init__(self, driver: "Driver", images: "ImageStore") -> None:
        self._driver, self._images = driver, images

    @step(resource="domain", heavy=True, budget=timedelta(minutes=30))
    def spawn(self, spec: DomainSpec) -> Spawned:
        """Make the config drive, define and start the domain, return once libvirt says that it runs. What `lays` says
        is done first, as the step `fetch_to_host` does it; an image that went meanwhile is downloaded again.

        Idempotent: the instance id is the domain's UUID; defining again updates, and a domain that runs is left
        alone. Before the guest's first instruction the host checks that the claim (instance, attempt) is still its
        own. Raises Hopeless for a domain no host would accept, HostCannot when this one cannot start it."""
        along = {} if spec.lays is None else {"fetch_to_host": self._laid(spec.lays)}
        spawned = self._driver.spawn(spec, activity.heartbeat)
        spawned.along = along
        return spawned

    def _laid(self, want: ImageOnHost) -> Done:
        begun = datetime.now(UTC)
        disk = self._images.fetch(want, activity.heartbeat, activity.info().heartbeat_details)
        return disk.model_copy(update={"started_at": begun, "finished_at": datetime.now(UTC)})

    @step(resource="domain", budget=timedelta(minutes=5))
    def destroy(self, spec: DomainRef) -> None:
        """Undo of `spawn`: stop and undefine; console log, config drive and sockets go. Absent is success; the guest of
        a later attempt stays."""
        self._driver.destroy(spec.instance_id, spec.attempt)

    @step(resource="domain", budget=timedelta(minutes=30))
    def power_off(self, want: PowerOff) -> Power:
        """Ask the guest to shut itself down, end it when it does not in time. Off, or absent, is success.

        Raises HostCannot when this host has lost the server."""
        return self._driver.power.off(want, activity.heartbeat)

    @step(resource="domain", heavy=True, budget=timedelta(minutes=10))
    def power_on(self, want: Guarded) -> Power:
        """Start the guest as this host keeps it, volumes included. One that runs is left alone.

        Raises HostCannot when this host has lost the server, or cannot start it."""
        return self._driver.power.on(want, activity.heartbeat)

    @step(resource="domain", heavy=True, budget=timedelta(minutes=10))
    def start_guest(self, want: PowerOn) -> Power:
        """As `power_on`, but say (`lacking`) where that cannot be; or, given what the records say of the guest, make it
        anew by them and start it. One that runs is left alone.

        Raises HostCannot when this host has lost the server, or cannot start it as its records have it."""
        return self._driver.power.on_as(want, activity.heartbeat)

    @step(resource="domain", heavy=True, budget=timedelta(minutes=30))
    def reboot(self, want: Reboot) -> Power:
        """End the guest (soft: by ACPI, for a time) and begin it anew, once for each request; given what the records
        say of it, definition, volumes and lost files are made by them first.

        Safe to repeat: the host notes the request when the guest is off, and a repeat only starts it."""
        return self._driver.power.reboot(want, activity.heartbeat)

    @step(resource="domain", budget=timedelta(minutes=2))
    def pause(self, want: Guarded) -> Power:
        """Stop the guest's processors. Paused already is success; HostCannot for a guest that does not run."""
        return self._driver.power.pause(want, activity.heartbeat)

    @step(resource="domain", budget=timedelta(minutes=2))
    def unpause(self, want: Guarded) -> Power:
        """Let the guest's processors go on. Running already is success; HostCannot for a guest that is off."""
        return self._driver.power.unpause(want, activity.heartbeat)

    @step(resource="domain", budget=timedelta(minutes=30))
    def suspend(self, want: Guarded) -> Power:
        """Write the guest's memory to disk, where it outlives libvirtd and the host. Written already is success."""
        return self._driver.power.suspend(want, activity.heartbeat)

    @step(resource="domain", heavy=True, budget=timedelta(minutes=30))
    def resume(self, want: Guarded) -> Power:
        """Start the guest from its written memory. Running already is success."""
        return self._driver.power.resume(want, activity.heartbeat)

    @step(resource="domain", budget=timedelta(minutes=2))
    def inject_nmi(self, want: Guarded) -> Power:
        """Send the guest a non-maskable interrupt. A repeat after a lost answer sends another one: a guest that is
        dumping does not heed it. Hopeless (409) for a guest that does not run."""
        return self._driver.power.inject_nmi(want, activity.heartbeat)

    @step(resource="domain", budget=timedelta(minutes=5))
    def plug_disk(self, want: DiskOnGuest) -> None:
        """Put an attached volume into the guest, now if it runs, and whenever it starts. There already is success."""
        self._driver.disks.plug(want, activity.heartbeat)

    @step(resource="domain", budget=timedelta(minutes=5))
    def unplug_disk(self, want: DiskOnGuest) -> None:
        """Have the guest give the volume back. Absent is success.

        A running guest is asked again for a minute; Hopeless (409) when it does not heed that, and for one that is
        paused, which cannot."""
        self._driver.disks.unplug(want, activity.heartbeat)

    @step(resource="domain", budget=timedelta(minutes=5))
    def grow_disk(self, want: DiskSize) -> None:
        """Tell a guest that runs the size of a volume of its own. That size already is success, and so is a guest that
        does not run, since it sees the size when it starts.

        Raises HostCannot when this host has lost the server; a size that the volume server does not show yet is asked
        for again."""
        self._driver.disks.grow(want, activity.heartbeat)

    @step(resource="domain", budget=timedelta(hours=4))
    def swap_disk(self, want: DiskSwap) -> None:
        """Copy a guest's disk to another attached volume while it runs, or is paused, and have it go on there.

        Safe to repeat: a copy that is under way is waited for, and a guest that has the new volume is left alone.
        Hopeless (409) for a guest that does not run, and when the copy breaks off."""
        self._driver.swaps.swap(want, activity.heartbeat)

    @step(resource="domain", budget=timedelta(hours=4))
    def swap_disk_back(self, want: DiskSwap) -> None:
        """Undo of `swap_disk`: a copy that is under way ends; a guest that has the new volume is copied back."""
        self._driver.swaps.swap_back(want, activity.heartbeat)

    @step(resource="domain", budget=timedelta(minutes=5))
    def plug_nic(self, want: NicOnGuest) -> None:
        """Give the guest an interface, now if it runs, and whenever it starts. There already is success.

        Hopeless (409) when the hypervisor refuses it; HostCannot when this host has lost the server."""
        self._driver.interfaces.plug(want, activity.heartbeat)

    @step(resource="domain", budget=timedelta(minutes=5))
    def unplug_nic(self, want: NicOnGuest) -> None:
        """Have the guest give an interface back. Absent is success.

        A running guest is asked again for a minute; Hopeless (409) when it does not heed that, and for one that is
        paused, which cannot."""
        self._driver.interfaces.unplug(want, activity.heartbeat)

    @step(budget=timedelta(minutes=1))
    def console_output(self, want: ConsoleOutputRequest) -> ConsoleOutput:
        """The end of the guest's serial log, at most 100 KiB. Reads only."""
        return ConsoleOutput(text=self._driver.console_output(want.instance_id, want.length))

    @step(budget=timedelta(minutes=1))
    def console_target(self, want: ConsoleRequest) -> ConsoleTarget:
        """Where the guest's VNC server, or its serial port, listens. Reads only; Hopeless: 409 when the guest does not
        run, 400 when it has no such console."""
        return ConsoleTarget(target=self._driver.console_target(want.instance_id, want.kind))

    @step(budget=timedelta(minutes=1))
    def diagnostics(self, ref: InstanceRef) -> Diagnostics:
        """The guest's use of its host. Reads only; Hopeless (409) when the guest does not run."""
        return self._driver.diagnostics(ref.instance_id)

    @step(budget=timedelta(minutes=1))
    def host_facts(self, ref: HostRef) -> HostFacts:
        """What lies on this host, for the audit. Reads only."""
        return self._driver.facts()

    @step(budget=timedelta(minutes=5))
    def clean_up(self, ref: InstanceRef) -> None:
        """Undo whatever one server left on this host: domain, ports, disk. Absent is success."""
        self._driver.clean_up(ref.instance_id)

    @step(budget=timedelta(minutes=2))
    def sync_network(self, ref: HostRef) -> None:
        """Have the host look after its own network now: bridges, DHCP servers and entries, filters. May be repeated."""
        self._driver.nics.sync()

    @step(resource="domain", budget=timedelta(minutes=5))
    def mend_nics(self, want: NicsOnHost) -> None:
        """Give a running guest its interfaces back whose tap is gone: out and in again, by PCI hot-plug. One that has
        its tap is left alone, so this may be repeated. Raises Hopeless (409) when the guest does not let go."""
        self._driver.nics.mend(want, activity.heartbeat)
