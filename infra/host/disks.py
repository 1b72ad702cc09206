"""Volumes put into a guest and taken out, while it runs and while it does not."""

import time

from infra.contracts.errors import hopeless
from infra.contracts.volume import DiskOnGuest
from infra.host.guest_steps import GuestSteps
from infra.host.heartbeats import Heartbeat
from infra.host.libvirt.domain_xml import volume_xml
from infra.host.libvirt.domains import PAUSED, RUNNING
from infra.interruption import still_wanted

LOOK_S = 0.25
ASK_AGAIN_S = 5.0
GUEST_PATIENCE_S = 60.0
"""So long a guest is asked to give a disk back; Nova asks eight times within some minutes."""


class DiskPlugger(GuestSteps):
    def plug(self, want: DiskOnGuest, heartbeat: Heartbeat) -> None:
        """See `activities.hypervisor.Hypervisor.plug_disk`."""
        device, id = want.volume.device, want.instance_id
        with self._at_work(want, heartbeat):
            xml = volume_xml(want.volume)
            self._files.keep_volumes(id, self._files.volumes(id) | {device: xml})
            if not self._pretend and self._domains.power_state(id) in (RUNNING, PAUSED):
                self._domains.plug(id, device, xml)

    def unplug(self, want: DiskOnGuest, heartbeat: Heartbeat) -> None:
        """See `activities.hypervisor.Hypervisor.unplug_disk`."""
        device, id = want.volume.device, want.instance_id
        with self._at_work(want, heartbeat):
            if not self._pretend:
                self._take_out(id, device)
            kept = {name: xml for name, xml in self._files.volumes(id).items() if name != device}
            self._files.keep_volumes(id, kept)

    def _take_out(self, instance_id: str, device: str) -> None:
        end, asked = time.monotonic() + GUEST_PATIENCE_S, 0.0
        while self._domains.has_disk(instance_id, device):
            now = time.monotonic()
            if now > end:
                raise hopeless(f"The guest did not release the device /dev/{device}.", code=409)
            if now - asked > ASK_AGAIN_S:
                asked = now
                self._domains.unplug(instance_id, device)
            still_wanted()
            time.sleep(LOOK_S)
