"""Guests that QEMU paused because a disk did not answer: each goes on once it may."""

import time
from dataclasses import dataclass, field

import libvirt

from infra import logs
from infra.contracts.power_states import RUNNING
from infra.host.files.guest import GuestFiles
from infra.host.heartbeats import Turns
from infra.host.libvirt.disk_waits import DiskWaits
from infra.host.libvirt.domains import Domains
from infra.host.libvirt.events import Events
from infra.host.reach import lost
from infra.host.services.control import LifecycleEvent

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
FORGOTTEN_S = 60.0
"""Having run for so long, a guest is none that waits any more."""
log = logs.get(__name__)


@dataclass
class _Known:
    """Of one guest: when it is tried next, the pause after that, when it was seen waiting last."""

    next: float = 0.0
    pause: float = FIRST_PAUSE_S
    seen: float = field(default_factory=time.monotonic)
    goes_on: bool = False


class WaitingGuests:
    """Call it now and then. A volume has to take connections, this host's own disk to have room; then the guest is let
    go on, and where it is paused by the same error at once, again after ever longer. One that its owner has paused
    meanwhile stays so, and one on which a step works is left to that."""

    def __init__(self, waits: DiskWaits, domains: Domains, files: GuestFiles, turns: Turns, events: Events) -> None:
        self._waits, self._domains, self._files = waits, domains, files
        self._turns, self._events = turns, events
        self._known: dict[str, _Known] = {}

    def __call__(self) -> None:
        waiting, now = self._waits.all(), time.monotonic()
        for id, devices in waiting.items():
            if id not in self._known:
                self._known[id] = _Known()
                log.warning("guest is paused until its disks answer", instance_id=id, disks=devices)
            known = self._known[id]
            known.seen, known.goes_on = now, False
            if now >= known.next and self._may_go_on(id, devices):
                self._let_go_on(id, known)
        for id in self._known.keys() - waiting.keys():
            known = self._known[id]
            if not known.goes_on:
                known.goes_on = True
                log.info("guest goes on, its disks are back", instance_id=id)
                self._events.seen(LifecycleEvent(instance_id=id, power_state=RUNNING, reason="its disks are back"))
            if now - known.seen > FORGOTTEN_S:
                del self._known[id]

    def _may_go_on(self, id: str, devices: list[str]) -> bool:
        volumes = self._files.volumes(id)
        concerned = {device: xml for device, xml in volumes.items() if device in devices or not devices}
        own = not devices or any(device not in volumes for device in devices)
        return (not own or self._files.have_room()) and not lost(concerned)

    def _let_go_on(self, id: str, known: _Known) -> None:
        with self._turns.take_if_free(id) as free:
            if not free or self._files.is_paused(id) or self._domains.waits_for(id) is None:
                return
            known.next, known.pause = time.monotonic() + known.pause, min(known.pause * 2, LONGEST_PAUSE_S)
            try:
                self._domains.resume(id)
            except libvirt.libvirtError as error:
                log.warning("guest does not go on", instance_id=id, error=str(error))
