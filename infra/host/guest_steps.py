"""What steps on a guest share: one at a time per instance, no echo in the events, the claim asked after first."""

from collections.abc import Iterator
from contextlib import contextmanager

from infra.contracts.power import Guarded
from infra.host.files.guest import GuestFiles
from infra.host.heartbeats import Heartbeat, Turns, beating
from infra.host.libvirt.domains import Domains
from infra.host.libvirt.events import Events
from infra.host.services.fence import Fence


class GuestSteps:
    """`pretend`: libvirt's test driver, which cannot start a guest paused, and has no disks."""

    def __init__(
        self, domains: Domains, files: GuestFiles, fence: Fence, events: Events, turns: Turns, *, pretend: bool
    ) -> None:
        self._domains, self._files, self._fence = domains, files, fence
        self._events, self._turns, self._pretend = events, turns, pretend

    @contextmanager
    def _at_work(self, want: Guarded, heartbeat: Heartbeat) -> Iterator[None]:
        id = want.instance_id
        with beating(heartbeat), self._turns.take(id), self._events.held(id):
            self._fence.require(want)
            yield
