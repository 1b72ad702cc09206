"""Disk of an instance on its host: image fetched once per host, an overlay per instance (seed steps 20-22)."""

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.step import step
from infra.contracts.image import DiskOnHost, ImageOnHost

if TYPE_CHECKING:
    from infra.host.files.images import ImageStore
    from infra.host.services.fence import Fence


class Image:
    """Runs on the queue of the chosen host."""

    def __init__(self, store: "ImageStore", fence: "Fence") -> None:
        self._store, self._fence = store, fence

    @step(resource="disk", budget=timedelta(minutes=30))
    def fetch_to_host(self, want: ImageOnHost) -> DiskOnHost:
        """Fetch the image into the host's cache and lay the instance's overlay over it.

        Idempotent: the cache is keyed by image id, a download resumes where the last heartbeat left it, and the
        overlay's path follows from the instance id. Raises Hopeless for an image that is gone, not active, of wrong
        checksum or unsafe format; HostCannot when the host's disk is full."""
        return self._store.fetch(want, activity.heartbeat, activity.info().heartbeat_details)

    @step(resource="image", budget=timedelta(minutes=30))
    def cache_image(self, want: ImageOnHost) -> DiskOnHost:
        """Fetch the image into the host's cache, so that it is there, and fits, before anything else is changed.

        Idempotent, and raises, as `fetch_to_host`."""
        return self._store.fetch_only(want, activity.heartbeat)

    @step(resource="disk", budget=timedelta(minutes=5))
    def remove_disk(self, want: ImageOnHost) -> None:
        """Undo of `fetch_to_host`: the overlay and the instance's directory go, the cached image stays. A later
        attempt's disk stays too."""
        if not self._fence.superseded(want):
            self._store.remove(want.instance_id)
