"""What a step of a host that was given up, and goes on late, must leave alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from infra.contracts.errors import host_cannot
from infra.host.services.control import ControlClient


class Claimed(Protocol):
    @property
    def instance_id(self) -> str: ...
    @property
    def attempt(self) -> int: ...


class Fence:
    """Asks the control plane whether this host's claim is still its own. No claim has the number 0, so no
    input passes without one. Only what is built without `control` is not fenced: the control worker itself."""

    def __init__(self, host: str, control: ControlClient | None) -> None:
        self._host, self._control = host, control

    def holds(self, want: Claimed) -> bool:
        if self._control is None:
            return True
        return want.attempt > 0 and self._control.attempt(want.instance_id) == want.attempt

    def superseded(self, want: Claimed) -> bool:
        """Whether a later attempt has the instance on this host: what is here is its own by now, not an old undo's.
        An undo without a number (0) is of a delete that found no claim, and supersedes whatever is here."""
        return want.attempt > 0 and self.attempt(want) > want.attempt

    def rules(self, want: Claimed) -> bool:
        """Whether the claim, asked for, is this host's: what another host has of the instance is this one's to end."""
        return want.attempt > 0 and self.attempt(want) == want.attempt

    def attempt(self, want: Claimed) -> int:
        """The number of this host's claim on the instance; 0 when it has none, and where nothing is fenced."""
        return 0 if self._control is None else self._control.attempt(want.instance_id)

    def require(self, want: Claimed) -> None:
        """Raises HostCannot when the claim is gone: the build moved on, or is over."""
        if not self.holds(want):
            raise self.lost()

    @contextmanager
    def kept(self, want: Claimed, undo: Callable[[], object]) -> Iterator[None]:
        """What the block acquires is given back by `undo` when the claim is gone at its end, good or bad: the build's
        own undo has been here already."""
        with self.unless_lost(want, undo):
            yield
            self.require(want)

    @contextmanager
    def unless_lost(self, want: Claimed, undo: Callable[[], object]) -> Iterator[None]:
        """As `kept`, for a block that asks for the claim itself."""
        try:
            yield
        except Exception:
            if not self.holds(want):
                undo()
            raise

    def lost(self) -> Exception:
        return host_cannot(f"host {self._host} no longer holds the claim on this server")
