"""A volume of a guest that runs is replaced by another one, which has the same bytes then."""

import time

import libvirt

from infra.contracts.errors import hopeless
from infra.contracts.power_states import PAUSED, RUNNING
from infra.contracts.volume import DiskSwap, VolumeConnection
from infra.host.files.download import Progress
from infra.host.guest_steps import GuestSteps
from infra.host.heartbeats import Heartbeat
from infra.host.libvirt import faults
from infra.host.libvirt.domain_xml import volume_xml
from infra.host.libvirt.faults import LibvirtDown
from infra.host.libvirt.mirroring import Mirrors
from infra.host.parts import Parts
from infra.interruption import still_wanted

LOOK_S = 0.25


class DiskSwapper(GuestSteps):
    """What the guest is to be started with is noted when the copy is ready, before it goes on there: it is complete in
    either case, should the guest end in between."""

    def __init__(self, parts: Parts, mirrors: Mirrors, *, pretend: bool) -> None:
        super().__init__(*parts, pretend=pretend)
        self._mirrors = mirrors

    def swap(self, want: DiskSwap, heartbeat: Heartbeat) -> None:
        """See `activities.hypervisor.Hypervisor.swap_disk`."""
        self._move(want, want.new, heartbeat)

    def swap_back(self, want: DiskSwap, heartbeat: Heartbeat) -> None:
        """See `activities.hypervisor.Hypervisor.swap_disk_back`."""
        self._move(want, want.old, heartbeat)

    def _move(self, want: DiskSwap, to: VolumeConnection, heartbeat: Heartbeat) -> None:
        progress = Progress(to.volume_id)
        with self._at_work(want, heartbeat, progress.details):
            xml, id = volume_xml(to), want.instance_id
            if not self._pretend:
                if self._domains.power_state(id) not in (RUNNING, PAUSED):
                    self._require_kept(id, to, xml)
                    return
                try:
                    self._copy(id, to, xml, progress)
                except libvirt.libvirtError as error:
                    raise _told(error, want) from None
            self._keep(id, to, xml)

    def _copy(self, id: str, to: VolumeConnection, xml: str, progress: Progress) -> None:
        self._files.let_in(id, {to.device: xml})
        seen = self._mirrors.look(id, to.device)
        if seen is not None and seen.target and seen.target != to.export:
            self._mirrors.give_up(id, to.device)
        elif seen is not None and seen.source != to.export and not seen.target:
            self._mirrors.begin(id, to.device, xml)
        while True:
            seen = self._mirrors.look(id, to.device)
            if seen is not None and seen.source == to.export and not seen.target:
                return
            if seen is None or seen.target != to.export:
                raise hopeless(f"The copy to volume {to.volume_id} was broken off.", code=409)
            if seen.ready:
                self._keep(id, to, xml)
                self._mirrors.pivot(id, to.device)
            else:
                progress.bytes, progress.of = self._mirrors.moved(id, to.device)
                still_wanted()
                time.sleep(LOOK_S)

    def _keep(self, id: str, to: VolumeConnection, xml: str) -> None:
        self._files.keep_volumes(id, self._files.volumes(id) | {to.device: xml})

    def _require_kept(self, id: str, to: VolumeConnection, xml: str) -> None:
        if self._files.volumes(id).get(to.device) != xml:
            raise hopeless(f"The guest does not run: nothing copies its disk to volume {to.volume_id}.", code=409)


def _told(error: libvirt.libvirtError, want: DiskSwap) -> Exception:
    """Without the exports' names, which are secrets."""
    known = faults.sort(error, "", [])
    if isinstance(known, LibvirtDown):
        return LibvirtDown("libvirt does not answer")
    text = str(error).replace(want.old.export, "***").replace(want.new.export, "***")
    return hopeless(f"The disk could not be copied to volume {want.new.volume_id}: {text}", code=409)
