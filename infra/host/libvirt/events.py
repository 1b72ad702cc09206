"""What happens to guests by themselves, told to the control plane: stopped, crashed, paused, running again."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import libvirt

from infra import logs
from infra.contracts.power_states import DISK_ERROR, PAUSED, RUNNING, SHUTDOWN, SUSPENDED
from infra.host.services.control import ControlClient, LifecycleEvent

STATES = {
    libvirt.VIR_DOMAIN_EVENT_STARTED: (RUNNING, "started"),
    libvirt.VIR_DOMAIN_EVENT_RESUMED: (RUNNING, "resumed"),
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: (PAUSED, "paused"),
    libvirt.VIR_DOMAIN_EVENT_STOPPED: (SHUTDOWN, "stopped"),
    libvirt.VIR_DOMAIN_EVENT_CRASHED: (SHUTDOWN, "crashed"),
    libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: (SUSPENDED, "suspended by the guest"),
}
STOPPED = {
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: "the guest shut itself down",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED: "destroyed on the host",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED: "the guest crashed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED: "the emulator ended",
}
OFF = (PAUSED, SHUTDOWN, SUSPENDED)
GATHER_S = 0.2  # events of one moment go in one request
ECHO_S = 3.0
log = logs.get(__name__)


class Events:
    """Collects the newest state per instance and sends it until it is accepted. Thread-safe.

    `look`: a second look, when it is sent: what an event says counts only of a guest with this host's owner tag, and
    what is told is its state by then. None for a guest that is not ours. `waits`: which disks a paused guest
    waits for."""

    look: Callable[[str], int | None]
    waits: Callable[[str], list[str] | None]

    def __init__(self, control: ControlClient) -> None:
        self._control = control
        self._changed = threading.Condition()
        self._pending: dict[str, LifecycleEvent] = {}
        self._held: dict[str, LifecycleEvent | None] = {}  # of instances that a step works on
        self._muted: dict[tuple[str, int], float] = {}  # (instance id, power state) -> until when
        self._awaited: frozenset[str] = frozenset()
        self._started = False

    def awaits(self, instance_ids: Iterable[str]) -> None:
        """That these guests are off is no news, until others are awaited: their host is about to start them again."""
        self._awaited = frozenset(instance_ids)

    def start(self) -> None:
        """Begin to send; before that events are only collected."""
        if not self._started:
            self._started = True
            threading.Thread(target=self._send, name="lifecycle", daemon=True).start()

    def from_libvirt(self, _connection: Any, domain: Any, event: int, detail: int, _opaque: Any) -> None:
        """libvirt's callback; runs in its event loop and must not call libvirt's daemon."""
        if event not in STATES or not domain.name().startswith("instance-"):
            return
        state, reason = STATES[event]
        if event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
            reason = STOPPED.get(detail, reason)
        self.note(LifecycleEvent(instance_id=domain.UUIDString(), power_state=state, reason=reason))

    def note(self, event: LifecycleEvent) -> None:
        with self._changed:
            if event.instance_id in self._held:
                self._held[event.instance_id] = event
            elif self._muted.get((event.instance_id, event.power_state), 0.0) < time.monotonic():
                self._muted.pop((event.instance_id, RUNNING), None)  # from here on, that it runs is news
                self._pending[event.instance_id] = event
                self._changed.notify()

    def seen(self, event: LifecycleEvent) -> None:
        """What was looked at now, and is no echo of a step."""
        with self._changed:
            self._muted.pop((event.instance_id, event.power_state), None)
        self.note(event)

    @contextmanager
    def held(self, instance_id: str, *, ends: bool = False, pauses: bool = False) -> Iterator[None]:
        """A step changes this instance: what it causes is no news, only a guest that is off when it ends well.
        `ends`: the step ends it, `pauses`: it pauses it, and tells so itself. The echo of what it did may come a little
        later."""
        with self._changed:
            self._held[instance_id] = None
            for state in OFF:
                self._muted.pop((instance_id, state), None)
        good = False
        try:
            yield
            good = True
        finally:
            with self._changed:
                last = self._held.pop(instance_id, None)
                now = time.monotonic()
                self._muted = {key: until for key, until in self._muted.items() if until > now}
                told = OFF if ends and good else (PAUSED,) if pauses and good else ()
                self._muted |= dict.fromkeys(((instance_id, state) for state in (RUNNING, *told)), now + ECHO_S)
            if good and not ends and last and last.power_state == SHUTDOWN:
                self.note(last)

    def _seen_again(self, events: Iterable[LifecycleEvent]) -> list[LifecycleEvent]:
        told = []
        for event in events:
            state = self.look(event.instance_id)
            if state is None or (state == SHUTDOWN and event.instance_id in self._awaited):
                continue
            changed = {} if state == event.power_state else {"power_state": state, "reason": "seen on the host"}
            if state == PAUSED and (disks := self.waits(event.instance_id)) is not None:
                changed["reason"] = ": ".join(filter(None, (DISK_ERROR, ", ".join(disks))))
            told.append(event.model_copy(update=changed))
        return told

    def _send(self) -> None:
        pause = GATHER_S
        while True:
            with self._changed:
                while not self._pending:
                    self._changed.wait()
            time.sleep(pause)
            with self._changed:
                batch, self._pending = self._pending, {}
            try:
                if told := self._seen_again(batch.values()):
                    self._control.report_events(told)
                pause = GATHER_S
            except Exception as error:
                log.warning("lifecycle events not reported yet", count=len(batch), error=str(error))
                pause = min(pause * 2, 10.0)
                with self._changed:
                    self._pending = batch | self._pending
