"""Volumes put into a guest and taken out, while it runs and while it does not."""

from infra.contracts.power_states import PAUSED, RUNNING
from infra.contracts.volume import DiskOnGuest, DiskSize
from infra.host.guest_steps import GuestSteps
from infra.host.heartbeats import Heartbeat
from infra.host.libvirt.domain_xml import volume_xml
from infra.host.reach import lost


class DiskPlugger(GuestSteps):
    def plug(self, want: DiskOnGuest, heartbeat: Heartbeat) -> None:
        """See `activities.hypervisor.Hypervisor.plug_disk`."""
        device, id = want.volume.device, want.instance_id
        with self._at_work(want, heartbeat):
            xml = volume_xml(want.volume)
            self._files.keep_volumes(id, self._files.volumes(id) | {device: xml})
            if not self._pretend and self._domains.power_state(id) in (RUNNING, PAUSED):
                self._domains.plug(id, device, xml)

    def grow(self, want: DiskSize, heartbeat: Heartbeat) -> None:
        """See `activities.hypervisor.Hypervisor.grow_disk`."""
        with self._at_work(want, heartbeat):
            if not self._pretend:
                self._domains.grow(want.instance_id, (want.volume_id, want.device), want.size_gb << 30)

    def unplug(self, want: DiskOnGuest, heartbeat: Heartbeat) -> None:
        """See `activities.hypervisor.Hypervisor.unplug_disk`."""
        device, id = want.volume.device, want.instance_id
        with self._at_work(want, heartbeat):
            if not self._pretend and not self._has_other_names(id, device):
                self._take_back(
                    id,
                    f"/dev/{device}",
                    lambda: self._domains.has_disk(id, device),
                    lambda: self._domains.unplug(id, device),
                    lambda: ", whose volume does not answer" if self._is_lost(id, device) else "",
                )
            self._files.forget_volume(id, device)

    def forget(self, want: DiskOnGuest, heartbeat: Heartbeat) -> None:
        """Of a guest that keeps a disk which leads nowhere any more: it is not given it again."""
        with self._at_work(want, heartbeat):
            self._files.forget_volume(want.instance_id, want.volume.device)

    def _is_lost(self, id: str, device: str) -> bool:
        return bool(lost({name: xml for name, xml in self._files.volumes(id).items() if name == device}))

    def _has_other_names(self, id: str, device: str) -> bool:
        """A rescue without volumes calls the guest's own disk by the first free name, which may be a volume's."""
        return self._files.is_rescued(id) and device not in self._files.volumes(id)
