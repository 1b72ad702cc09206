"""A guest that goes from one host to another, and back. Runs on the queue of either."""

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.step import step
from infra.contracts.power import Power
from infra.contracts.resize import Arriving, CarriedFiles, Leaving
from infra.contracts.snapshot import SnapshotOnHost, Uploaded

if TYPE_CHECKING:
    from infra.host.carrier import Carrier
    from infra.host.mover import Mover


class Moving:
    def __init__(self, mover: "Mover", carrier: "Carrier") -> None:
        self._mover, self._carrier = mover, carrier

    @step(resource="domain", budget=timedelta(hours=1))
    def leave_host(self, want: Leaving) -> Power:
        """Have the guest shut itself down (ended when it does not in time). All that it is stays here.

        Off is success. Raises HostCannot when this host has lost the server, or could not start it again."""
        return self._mover.leave(want, activity.heartbeat)

    @step(resource="domain", heavy=True, budget=timedelta(minutes=30))
    def come_back(self, want: Leaving) -> Power:
        """Undo of `leave_host`: the server's ports and volumes are on this host again, its guest is what its records
        say, and runs if it ran. One that runs is left alone."""
        return self._mover.come_back(want, activity.heartbeat)

    @step(resource="domain", heavy=True, budget=timedelta(hours=2))
    def pack_files(self, want: SnapshotOnHost) -> Uploaded:
        """Put ephemeral disks and firmware variables of a guest that is off into one file, to be uploaded. Undone by
        `Snapshot.remove_snapshot`.

        Idempotent by the image's id: a file that is complete stays. Raises HostCannot when this host has lost the
        server or its disk is full."""
        return self._carrier.pack(want, activity.heartbeat)

    @step(resource="disk", budget=timedelta(minutes=30))
    def unpack_files(self, want: CarriedFiles) -> Uploaded:
        """The same files take their places on this host, before there is a guest; ephemeral disks have the size that
        they are to have.

        Safe to repeat: each file appears complete, by a rename. Raises Hopeless for an image that is gone, or not what
        it is to be; HostCannot when the disk is full."""
        return self._carrier.unpack(want, activity.heartbeat)

    @step(resource="disk", budget=timedelta(minutes=5))
    def drop_files(self, want: CarriedFiles) -> None:
        """Undo of `unpack_files`. Absent is success; a later attempt's stay."""
        self._carrier.drop(want)

    @step(resource="domain", heavy=True, budget=timedelta(minutes=30))
    def arrive(self, want: Arriving) -> Power:
        """Define the guest on this host, whose disk, ports and volumes are there, and start it if it is to run.

        Idempotent, and raises, as `Hypervisor.spawn`."""
        return self._mover.arrive(want, activity.heartbeat)
