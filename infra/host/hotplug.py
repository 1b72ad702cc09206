"""A volume and a guest that exists: attached and put in, or taken out and given back, in one step."""

import time

from temporalio.exceptions import ApplicationError

from infra.contracts.step import Done
from infra.contracts.volume import DiskOnGuest, VolumeConnection, VolumeOnGuest
from infra.host.disks import DiskPlugger
from infra.host.heartbeats import Heartbeat
from infra.host.services.volumes import VolumeConnector

CLAIM_S = 1.0
"""So long after the question a claim counts as this host's: hosts are given up after more silence than that."""


class VolumePlugger:
    def __init__(self, connector: VolumeConnector, disks: DiskPlugger) -> None:
        self._connector, self._disks = connector, disks

    def give(self, want: VolumeOnGuest, heartbeat: Heartbeat) -> Done:
        """See `activities.volume.Volume.give_volume`. The claim is asked for before the guest has the volume: when
        it is gone by then, the volume is given back."""
        begun = time.monotonic()
        with self._connector.connected(want.on_host, heartbeat) as (volume,):
            attached = time.monotonic()
            self._disks.plug(_disk(want, volume), heartbeat)
        return Done(parts={"attach": round(attached - begun, 3), "plug": round(time.monotonic() - attached, 3)})

    def take(self, want: VolumeOnGuest, heartbeat: Heartbeat) -> Done:
        """See `activities.volume.Volume.take_volume`. The claim is asked for before the guest is; where the guest took
        its time, once more before the attachment ends."""
        begun = time.monotonic()
        self._disks.unplug(_disk(want, _known(want)), heartbeat)
        unplugged = time.monotonic()
        held = want.attempt if unplugged - begun < CLAIM_S else None
        self._connector.detach(want.on_host, heartbeat, held)
        return Done(parts={"unplug": round(unplugged - begun, 3), "detach": round(time.monotonic() - unplugged, 3)})

    def take_back(self, want: VolumeOnGuest, heartbeat: Heartbeat) -> Done:
        """See `activities.volume.Volume.take_volume_back`. What may go better when it is tried again is tried again
        before the attachment ends. With that the disk leads nowhere: no start and no late release puts it in again."""
        try:
            return self.take(want, heartbeat)
        except ApplicationError:
            self._connector.detach(want.on_host, heartbeat)
            self._disks.forget(_disk(want, _known(want)), heartbeat)
            raise


def _disk(want: VolumeOnGuest, volume: VolumeConnection) -> DiskOnGuest:
    return DiskOnGuest(instance_id=want.instance_id, attempt=want.attempt, volume=volume)


def _known(want: VolumeOnGuest) -> VolumeConnection:
    """What takes a disk out knows of it: no way to the volume is needed."""
    volume = want.volume
    device = (volume.device or "").removeprefix("/dev/")
    return VolumeConnection(volume_id=volume.volume_id, attachment_id=volume.attachment_id, device=device)
