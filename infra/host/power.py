"""Switching guests on and off, each under the claim's number: a host that lost a server leaves it alone."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree.ElementTree import fromstring

import libvirt

from infra.contracts.errors import hopeless, host_cannot
from infra.contracts.guarded import Guarded
from infra.contracts.hypervisor import DomainSpec
from infra.contracts.power import Power, PowerOff, PowerOn, Reboot
from infra.contracts.power_states import PAUSED, RUNNING, SHUTDOWN
from infra.host.definer import Definer
from infra.host.guest_steps import GuestSteps, pauses, waits
from infra.host.heartbeats import Heartbeat
from infra.host.libvirt.domain_xml import volume_xml
from infra.host.libvirt.faults import LibvirtDown
from infra.host.libvirt.machine_xml import properties_in
from infra.host.parts import Network, Parts
from infra.host.reach import hanging, require_volumes, silent
from infra.interruption import still_wanted

ASK_AGAIN_S = 10.0
"""A guest that is still booting does not hear the first request to shut down."""


class PowerSwitch(GuestSteps):
    """`patience_s`: how long a guest may take to shut itself down (Nova's shutdown_timeout), where its image does not
    say it."""

    patience_s = 60

    def __init__(self, parts: Parts, definer: Definer, network: Network, *, pretend: bool) -> None:
        super().__init__(*parts, pretend=pretend)
        self._definer, self._network = definer, network

    def off(self, want: PowerOff, heartbeat: Heartbeat) -> Power:
        """See `activities.hypervisor.Hypervisor.power_off`."""
        patience = self._patience(want.instance_id) if want.timeout_s is None else want.timeout_s
        with self._at_work(want, heartbeat, ends=True):
            if want.comes_back and self._runs(want.instance_id):
                self._require_way_back(self._files.volumes(want.instance_id))
            politely = self._shut_down(want.instance_id, patience)
        return Power(power_state=SHUTDOWN, parts={"ended by the host": 0.0} if not politely else {})

    def on(self, want: Guarded, heartbeat: Heartbeat) -> Power:
        """See `activities.hypervisor.Hypervisor.power_on`."""
        with self._at_work(want, heartbeat), self._volumes_named(want.instance_id):
            self._begin(want.instance_id)
        return Power(power_state=RUNNING)

    def on_as(self, want: PowerOn, heartbeat: Heartbeat) -> Power:
        """See `activities.hypervisor.Hypervisor.start_guest`."""
        with self._at_work(want, heartbeat):
            if want.spec is not None:
                self._make_anew(want.spec)
            try:
                if self._domains.power_state(want.instance_id) is None:
                    raise LookupError("it has no definition")
                old = want.old_drive or self._files.drive_is_outdated(want.instance_id)
                if old and not self._runs(want.instance_id):
                    raise LookupError("its config drive tells of other interfaces")
                self._begin(want.instance_id)
            except (LookupError, libvirt.libvirtError) as error:
                if want.spec is not None:
                    if words := silent(self._files.volumes(want.instance_id)):
                        raise LibvirtDown(f"the {words}") from None
                    raise
                why = str(error) if isinstance(error, LookupError) else "libvirt could not start it"
                return Power(power_state=SHUTDOWN, lacking=why)
        return Power(power_state=RUNNING)

    def defined(self, want: PowerOn, heartbeat: Heartbeat) -> Power:
        """The guest is what its records say, and is not started."""
        assert want.spec is not None
        with self._at_work(want, heartbeat):
            self._make_anew(want.spec)
            return Power(power_state=self._domains.power_state(want.instance_id) or SHUTDOWN)

    def reboot(self, want: Reboot, heartbeat: Heartbeat) -> Power:
        """See `activities.hypervisor.Hypervisor.reboot`."""
        with self._at_work(want, heartbeat):
            if self._files.last_reboot(want.instance_id) != want.request_id:
                volumes = {volume.device: volume_xml(volume) for volume in want.spec.volumes} if want.spec else None
                self._require_way_back(self._files.volumes(want.instance_id) if volumes is None else volumes)
                self._shut_down(want.instance_id, self._patience(want.instance_id) if want.soft else 0)
                self._files.note_reboot(want.instance_id, want.request_id)
            if want.spec is not None:
                self._make_anew(want.spec)
            self._begin(want.instance_id)
        return Power(power_state=RUNNING)

    def pause(self, want: Guarded, heartbeat: Heartbeat) -> Power:
        """See `activities.hypervisor.Hypervisor.pause`."""
        with self._at_work(want, heartbeat, pauses=True):
            volumes = self._files.volumes(want.instance_id)
            if volumes and self._domains.power_state(want.instance_id) == RUNNING and (words := hanging(volumes)):
                # QEMU would wait for it, libvirt for QEMU, and one of this host's threads for libvirt.
                raise hopeless(f"The {words}: the guest cannot be paused.", code=409)
            now = _now(self._domains.pause(want.instance_id), PAUSED)
            self._files.note_paused(want.instance_id, paused=True)
            return now

    def unpause(self, want: Guarded, heartbeat: Heartbeat) -> Power:
        """See `activities.hypervisor.Hypervisor.unpause`."""
        with self._at_work(want, heartbeat):
            state = self._resumed(want.instance_id)
            if self._domains.waits_for(want.instance_id) is None:
                _now(state, RUNNING)
            self._files.note_paused(want.instance_id, paused=False)
            return Power(power_state=state or RUNNING)

    def _resumed(self, instance_id: str) -> int | None:
        try:
            return self._domains.resume(instance_id)
        except (LibvirtDown, libvirt.libvirtError):
            if words := silent(self._files.volumes(instance_id)):  # QEMU waits for it, and libvirt for QEMU
                raise hopeless(f"The {words}: the guest stays paused.", code=409) from None
            raise

    def suspend(self, want: Guarded, heartbeat: Heartbeat) -> Power:
        """See `activities.hypervisor.Hypervisor.suspend`."""
        with self._at_work(want, heartbeat, ends=True):
            if (disks := self._domains.waits_for(want.instance_id)) is not None:
                raise hopeless(f"{waits(disks)} and cannot be suspended.", code=409)
            if self._runs(want.instance_id) and (words := silent(self._files.volumes(want.instance_id))):
                raise hopeless(f"The {words}: the guest cannot be suspended.", code=409)
            self._files.keep_running(want.instance_id, False)
            self._domains.save(want.instance_id)
            _now(self._domains.power_state(want.instance_id), SHUTDOWN)
        return Power(power_state=SHUTDOWN)

    def resume(self, want: Guarded, heartbeat: Heartbeat) -> Power:
        """See `activities.hypervisor.Hypervisor.resume`. libvirt begins from the written memory where there is one."""
        with self._at_work(want, heartbeat), self._volumes_named(want.instance_id):
            if self._domains.saved(want.instance_id):
                self._files.keep_running(want.instance_id, True)
                self._files.let_in(want.instance_id, self._files.volumes(want.instance_id))
                self._domains.start(want.instance_id, paused=False)
                self._network.carried(want.instance_id)
            else:
                self._begin(want.instance_id)
            return _now(self._domains.power_state(want.instance_id), RUNNING)

    def inject_nmi(self, want: Guarded, heartbeat: Heartbeat) -> Power:
        """See `activities.hypervisor.Hypervisor.inject_nmi`."""
        with self._at_work(want, heartbeat):
            state = self._domains.power_state(want.instance_id)
            if state not in (RUNNING, PAUSED):
                raise hopeless(f"Instance {want.instance_id} is not running", code=409)
            if not self._pretend:
                self._domains.inject_nmi(want.instance_id)
            return Power(power_state=state)

    def _patience(self, instance_id: str) -> int:
        """In seconds; the guest's definition keeps what its image says."""
        xml = self._domains.live_xml(instance_id)
        properties = properties_in(fromstring(xml)) if xml else {}  # noqa: S314 - libvirt wrote it
        told = properties.get("os_shutdown_timeout", "")
        return int(told) if told.isdecimal() else self.patience_s

    def _make_anew(self, spec: DomainSpec) -> None:
        """The guest is what its records say, unless it runs."""
        state = self._domains.power_state(spec.instance_id)
        if state == RUNNING:
            return
        if state == PAUSED:  # by an earlier try that went no further
            self._domains.stop(spec.instance_id)
        self._definer.define_again(spec)

    @contextmanager
    def _volumes_named(self, instance_id: str) -> Iterator[None]:
        """What does not start for want of a volume fails with the volume's name; it may answer yet."""
        try:
            yield
        except libvirt.libvirtError:
            if words := silent(self._files.volumes(instance_id)):
                raise LibvirtDown(f"the {words}") from None
            raise

    def _runs(self, instance_id: str) -> bool:
        return self._domains.power_state(instance_id) in (RUNNING, PAUSED)

    def _begin(self, instance_id: str) -> None:
        """Until it runs, and its ports are ACTIVE; one that runs is left alone."""
        self._run(instance_id, self._domains.power_state(instance_id))
        self._network.carried(instance_id)

    def _run(self, instance_id: str, state: int | None) -> None:
        """Volumes are attached before the first instruction."""
        if state == RUNNING:
            return
        self._files.keep_running(instance_id, True)
        if self._pretend:
            self._domains.start(instance_id, paused=False)
        else:
            if state == PAUSED and self._domains.waits_for(instance_id) is not None:
                return  # it runs, as far as it depends on its host
            if state != PAUSED or not self._files.is_paused(instance_id):
                self._start_paused(instance_id, state)
            still_wanted()
            self._domains.resume(instance_id)
        self._files.note_paused(instance_id, paused=False)

    def _start_paused(self, instance_id: str, state: int | None) -> None:
        """With its volumes. What an earlier try began may lack them, and is ended; so is what cannot have them."""
        if state == PAUSED:
            self._domains.stop(instance_id)
        self._files.let_in(instance_id, volumes := self._files.volumes(instance_id))
        self._domains.start(instance_id, paused=True)
        try:
            self._domains.attach(instance_id, volumes)
        except libvirt.libvirtError:
            self._domains.stop(instance_id)
            raise

    def _require_way_back(self, volumes: dict[str, str]) -> None:
        """HostCannot where a guest that is ended now could not be started again with these."""
        self._files.require_room()
        require_volumes(volumes)

    def _shut_down(self, instance_id: str, patience_s: int) -> bool:
        """Until it is off; whether the guest did it by itself. One that is paused does not hear of it; one that is off,
        or absent, is left alone."""
        self._files.keep_running(instance_id, False)
        end, asked, pause = time.monotonic() + patience_s, 0.0, pauses()
        while (state := self._domains.power_state(instance_id)) not in (None, SHUTDOWN):
            now = time.monotonic()
            if now >= end or state == PAUSED:
                self._domains.stop(instance_id)
                return False
            if now - asked > ASK_AGAIN_S:
                asked = now
                self._domains.shut_down(instance_id)
            still_wanted()
            time.sleep(next(pause))
        return True


def _now(state: int | None, expected: int) -> Power:
    """The guest's state, which must be the expected one by now."""
    if state != expected:
        raise host_cannot(f"the guest is in power state {state}, not {expected}")
    return Power(power_state=expected)
