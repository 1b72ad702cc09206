"""What steps on a guest share: one at a time per instance, no echo in the events, the claim asked after first."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from infra.contracts.errors import hopeless
from infra.contracts.guarded import Guarded
from infra.contracts.power_states import PAUSED
from infra.host.heartbeats import Heartbeat, beating
from infra.host.parts import Claims, Files, Guests, News, Turns
from infra.interruption import still_wanted

FIRST_LOOK_S, LOOK_S = 0.01, 0.25
ASK_AGAIN_S = 5.0


class GuestSteps:
    """`pretend`: libvirt's test driver, which cannot start a guest paused, and has no disks.

    `detach_s`: so long a guest is asked to give a device back; Nova asks eight times within some minutes."""

    detach_s = 60.0

    def __init__(
        self, domains: Guests, files: Files, fence: Claims, events: News, turns: Turns, *, pretend: bool
    ) -> None:
        self._domains, self._files, self._fence = domains, files, fence
        self._events, self._turns, self._pretend = events, turns, pretend

    @contextmanager
    def _at_work(
        self,
        want: Guarded,
        heartbeat: Heartbeat,
        details: Callable[[], tuple[Any, ...]] = tuple,
        *,
        ends: bool = False,
        pauses: bool = False,
    ) -> Iterator[None]:
        """`ends`, `pauses`: the step itself tells that the guest is off by then, or paused."""
        id = want.instance_id
        with beating(heartbeat, details), self._turns.take(id), self._events.held(id, ends=ends, pauses=pauses):
            self._fence.require(want)
            yield

    def _take_back(
        self, id: str, device: str, has: Callable[[], bool], ask: Callable[[], None], why: Callable[[], str] = str
    ) -> None:
        """Ask until the guest has the device no more; Hopeless (409) when it keeps it, with what `why` says of that.

        A paused guest is not asked: it would answer when it goes on, after its server was told that it kept it."""
        end, asked, pause = time.monotonic() + self.detach_s, 0.0, pauses()
        while has():
            if (disks := self._domains.waits_for(id)) is not None:
                words = f"{waits(disks)} and cannot release the device {device}; stop the server first."
                raise hopeless(words, code=409)
            if self._domains.power_state(id) == PAUSED:
                raise hopeless(f"The guest is paused and cannot release the device {device}; let it go on.", code=409)
            now = time.monotonic()
            if now > end:
                raise hopeless(f"The guest did not release the device {device}{why()}.", code=409)
            if now - asked > ASK_AGAIN_S:
                asked = now
                ask()
            still_wanted()
            time.sleep(next(pause))


def waits(disks: list[str]) -> str:
    """The beginning of what a step says that a guest cannot do now."""
    named = ", ".join(f"/dev/{disk}" for disk in disks)
    return f"The guest waits for its disk{f' {named}' if named else ''}, which does not answer,"


def pauses() -> Iterator[float]:
    """Seconds between looks at a guest: short ones at first, since most answer at once."""
    pause = FIRST_LOOK_S
    while True:
        yield pause
        pause = min(pause * 2, LOOK_S)
