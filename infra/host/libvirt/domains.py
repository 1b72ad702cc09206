"""Domains of this host in libvirt: the few operations that the driver is made of, each safe to repeat."""

import time
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import libvirt

from infra.contracts.limits import Limits
from infra.contracts.power_states import NOSTATE, RUNNING
from infra.host.cgroups import GuestGroups
from infra.host.libvirt.connection import Connection
from infra.host.libvirt.definitions import Written
from infra.host.libvirt.disk_waits import waited_for
from infra.host.libvirt.faults import full_disk, is_missing, is_no_device, is_wrong_state
from infra.host.libvirt.growing import grow
from infra.host.libvirt.looks import (
    POWER,
    devices,
    disk_as,
    find,
    has_acpi,
    has_this,
    limits_of,
    living,
    marks_of,
    nics,
    power_of,
    tolerating,
)
from infra.host.libvirt.machine_xml import kept_limits

START_S = 120.0
NIC_S = 20.0
SAVE_S = 1200.0
UNDEFINE_ALL = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)
UNDEFINE_PRETENDED = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
"""Of these the test driver knows; it refuses the others, and refuses to undefine a domain whose memory it keeps."""


Limit = Callable[[str, Limits], None]
"""Limits the interfaces of a guest that was just started: its id, and what its flavor leaves it."""


class Domains:
    """All methods raise LibvirtDown, or libvirtError for what libvirt refuses; an absent domain is None or nothing."""

    def __init__(self, connection: Connection, host: str, groups: GuestGroups, limit: Limit) -> None:
        self._libvirt, self._host, self._groups, self._limit = connection, host, groups, limit
        self._attempts: dict[str, tuple[str, int]] = {}  # instance id -> (host, attempt) from the metadata

    def power_state(self, instance_id: str) -> int | None:
        return self._libvirt.call(lambda c: power_of(find(c, instance_id)))

    def attempt(self, instance_id: str) -> int | None:
        """The attempt that made the domain."""
        known = self._libvirt.call(lambda c: marks_of(find(c, instance_id)))
        return known[1] if known else None

    def start(self, instance_id: str, *, paused: bool, made: Written | None = None) -> int:
        """Running already is success. Its power state then."""

        def work(connection: Any) -> tuple[Limits, list[int]]:
            known = made if made and made.domain.connect() is connection else None
            domain = known.domain if known else living(connection, instance_id)
            try:
                domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED if paused else 0)
            except libvirt.libvirtError as error:
                if not is_wrong_state(error):
                    raise
            return kept_limits(known.xml) if known else limits_of(domain), domain.info()

        limits, (state, memory_kib, *_) = self._libvirt.call(work, START_S)
        self._groups.bound(instance_id, memory_kib, limits)
        self._limit(instance_id, limits)
        return POWER.get(state, NOSTATE)

    def resume(self, instance_id: str) -> int | None:
        """Its power state then; None for one that is gone."""

        def work(connection: Any) -> int | None:
            domain = find(connection, instance_id)
            if domain is not None and domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
                domain.resume()
            return power_of(domain)

        return self._libvirt.call(work)

    def shut_down(self, instance_id: str) -> None:
        """Ask the guest, by ACPI, to shut itself down. One that does not run, or cannot be asked, is left alone."""

        def work(connection: Any) -> None:
            domain = find(connection, instance_id)
            if domain is not None:
                with tolerating(is_wrong_state, is_missing):
                    # Without a flag libvirt asks an agent, and waits for it up to a minute.
                    domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN if has_acpi(domain) else 0)

        self._libvirt.call(work)

    def stop(self, instance_id: str) -> None:
        """End the guest at once; its definition stays."""

        def work(connection: Any) -> None:
            domain = find(connection, instance_id)
            if domain is not None:
                with tolerating(is_wrong_state, is_missing):
                    domain.destroy()

        self._libvirt.call(work, 60.0)

    def pause(self, instance_id: str) -> int | None:
        """Stop the guest's processors. One that is paused, or off, is left alone. Its power state then; None for one
        that is gone."""

        def work(connection: Any) -> int | None:
            domain = find(connection, instance_id)
            if (state := power_of(domain)) != RUNNING:
                return state
            with tolerating(is_wrong_state, is_missing):
                domain.suspend()
            return power_of(domain)

        return self._libvirt.call(work)

    def save(self, instance_id: str) -> None:
        """Write the guest's memory to disk and end it. One that is off is left alone. OSError when the disk is full:
        the guest goes on."""

        def work(connection: Any) -> None:
            domain = find(connection, instance_id)
            if domain is not None and domain.isActive():
                try:
                    with tolerating(is_missing):
                        domain.managedSave(0)
                except libvirt.libvirtError as error:
                    raise full_disk(error) or error from error

        self._libvirt.call(work, SAVE_S)

    def saved(self, instance_id: str) -> bool:
        """Whether the guest's memory lies on disk."""

        def work(connection: Any) -> bool:
            domain = find(connection, instance_id)
            return domain is not None and bool(domain.hasManagedSaveImage(0))

        return self._libvirt.call(work)

    def inject_nmi(self, instance_id: str) -> None:
        def work(connection: Any) -> None:
            domain = find(connection, instance_id)
            if domain is not None:
                domain.injectNMI(0)

        self._libvirt.call(work)

    def attach(self, instance_id: str, disks: dict[str, str]) -> None:
        """Attach disks (device → XML) that the paused domain lacks; they are gone when it stops.

        The firmware learns at a reset what to boot from, and the one of the domain's start came too early."""

        def work(connection: Any) -> None:
            domain = living(connection, instance_id)
            present = devices(domain.XMLDesc(0))
            for device, xml in disks.items():
                if device not in present:
                    domain.attachDeviceFlags(xml, libvirt.VIR_DOMAIN_AFFECT_LIVE)
            if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
                domain.reset()

        if disks:
            self._libvirt.call(work, START_S)

    def replace_nic(self, instance_id: str, mac: str, xml: str) -> None:
        """Take the running domain's interface with this MAC address out, and put `xml` in. Raises TimeoutError when
        the guest does not let go of it: PCI hot-unplug needs its consent. A domain that does not run is left alone."""
        if not self._unplug_nic(instance_id, mac):
            return
        end = time.monotonic() + NIC_S
        while mac in nics(self.live_xml(instance_id) or ""):
            if time.monotonic() > end:
                raise TimeoutError(f"the guest does not let go of its interface {mac}")
            time.sleep(0.2)
        self._libvirt.call(lambda c: living(c, instance_id).attachDeviceFlags(xml, libvirt.VIR_DOMAIN_AFFECT_LIVE))

    def _unplug_nic(self, instance_id: str, mac: str) -> bool:
        def work(connection: Any) -> bool:
            domain = find(connection, instance_id)
            if domain is None or not domain.isActive():
                return False
            if found := nics(domain.XMLDesc(0)).get(mac):
                with tolerating(is_wrong_state):  # an unplug that was asked for before is under way
                    domain.detachDeviceFlags(found, libvirt.VIR_DOMAIN_AFFECT_LIVE)
            return True

        return self._libvirt.call(work, 60.0)

    def plug(self, instance_id: str, device: str, xml: str) -> None:
        """Put a disk into a running guest; one that has it is left alone. Hopeless when it has another in its place."""

        def work(connection: Any) -> None:
            domain = find(connection, instance_id)
            if domain is not None and domain.isActive() and not has_this(xml, device, domain.XMLDesc(0)):
                domain.attachDeviceFlags(xml, libvirt.VIR_DOMAIN_AFFECT_LIVE)

        self._libvirt.call(work, START_S)

    def unplug(self, instance_id: str, device: str) -> None:
        """Ask a running guest to give a disk back, which it does when it likes."""

        def work(connection: Any) -> None:
            domain = find(connection, instance_id)
            if domain is None or not domain.isActive():
                return
            if (disk := disk_as(device, domain.XMLDesc(0))) is not None:
                with tolerating(is_wrong_state, is_missing, is_no_device):
                    domain.detachDeviceFlags(ElementTree.tostring(disk, "unicode"), libvirt.VIR_DOMAIN_AFFECT_LIVE)

        self._libvirt.call(work)

    def has_disk(self, instance_id: str, device: str) -> bool:
        """Whether the running guest has the disk; one that does not run has none of a volume's."""

        def work(connection: Any) -> bool:
            domain = find(connection, instance_id)
            return domain is not None and bool(domain.isActive()) and device in devices(domain.XMLDesc(0))

        return self._libvirt.call(work)

    def grow(self, instance_id: str, disk: tuple[str, str], size: int) -> None:
        """Give the running guest's disk (volume, device or "") `size` bytes; one that does not run is left alone."""
        self._libvirt.call(lambda connection: grow(find(connection, instance_id), disk, size), START_S)

    def destroy(self, instance_id: str) -> None:
        """Stop at once and undefine."""

        def work(connection: Any) -> None:
            domain = find(connection, instance_id)
            if domain is None:
                return
            with tolerating(is_wrong_state, is_missing):
                domain.destroy()
            with tolerating(is_missing):
                try:
                    domain.undefineFlags(UNDEFINE_ALL)
                except libvirt.libvirtError as error:
                    if error.get_error_code() not in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_INVALID_ARG):
                        raise
                    domain.undefineFlags(UNDEFINE_PRETENDED)

        self._libvirt.call(work, 60.0)
        self._attempts.pop(instance_id, None)
        self._groups.remove()

    def live_xml(self, instance_id: str) -> str | None:
        """XML of the running domain; None when it does not run."""

        def work(connection: Any) -> str | None:
            domain = find(connection, instance_id)
            return domain.XMLDesc(0) if domain is not None and domain.isActive() else None

        return self._libvirt.call(work)

    def all(self) -> dict[str, int]:
        """instance id → power state of every domain that this host's worker made; others are left out."""

        def work(connection: Any) -> dict[str, int]:
            found = {}
            for domain, stats in connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE):
                instance_id = domain.UUIDString()
                if instance_id not in self._attempts:
                    marks = marks_of(domain)
                    if marks is None:
                        continue
                    self._attempts[instance_id] = marks
                if self._attempts[instance_id][0] == self._host:
                    found[instance_id] = POWER.get(stats.get("state.state", 0), NOSTATE)
            self._attempts = {key: value for key, value in self._attempts.items() if key in found}
            return found

        return self._libvirt.call(work)

    def attempts(self) -> dict[str, int]:
        """instance id → attempt that made its domain, of every domain in `all`."""
        return {instance_id: self._attempts[instance_id][1] for instance_id in self.all()}

    def connect(self) -> None:
        """Raises LibvirtDown when libvirt is not there."""
        self._libvirt.ensure()

    def waits_for(self, instance_id: str) -> list[str] | None:
        """See `waited_for`."""
        return self._libvirt.call(lambda connection: waited_for(find(connection, instance_id)))
