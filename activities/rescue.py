"""A guest that boots from a disk of its own for its rescue. Runs on the queue of its host."""

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.step import step
from infra.contracts.image import DiskOnHost
from infra.contracts.power import Power
from infra.contracts.rescue import RescueDisk, RescueGuest

if TYPE_CHECKING:
    from infra.host.rescues import Rescues


class Rescue:
    def __init__(self, rescues: "Rescues") -> None:
        self._rescues = rescues

    @step(resource="disk", budget=timedelta(minutes=30))
    def fetch_rescue_disk(self, want: RescueDisk) -> DiskOnHost:
        """Fetch the image into the host's cache and lay a disk of its size over it, beside the server's own.

        Idempotent: a disk over the same image stays. Raises as `fetch_to_host`."""
        return self._rescues.fetch(want, activity.heartbeat)

    @step(resource="disk", budget=timedelta(minutes=5))
    def remove_rescue_disk(self, want: RescueDisk) -> None:
        """Undo of `fetch_rescue_disk`, and its end: the disk goes, the cached image stays. Absent is success."""
        self._rescues.remove(want)

    @step(resource="domain", heavy=True, budget=timedelta(minutes=10))
    def boot_rescue(self, want: RescueGuest) -> Power:
        """Start the guest, which was set aside, from its rescue disk, with a config drive that tells the rescue's
        password.

        Safe to repeat: it begins each time from what was set aside, and a guest that runs is left alone. Raises
        HostCannot when nothing is set aside."""
        return self._rescues.boot(want, activity.heartbeat)
