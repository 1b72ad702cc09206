"""Guests' states are looked at, too: what happens during a step that fails in the end is told by no event."""

from infra.host.driver import Driver
from infra.host.services.control import ControlClient, LifecycleEvent

TOLD = ("active", "stopped")
"""vm_states that follow a guest; in the others its power is an operation's business."""


class StatesNow:
    """Call it now and then: of servers at rest, whose guests are not what their records say, it is told. It goes the
    way of events, so that what is told is what a second look finds, and an operation that has begun is left alone."""

    def __init__(self, driver: Driver, control: ControlClient) -> None:
        self._driver, self._control = driver, control

    def __call__(self) -> None:
        states = self._driver.domains()
        for claim in self._control.claims() if states else ():
            state = states.get(claim.instance_id)
            if state not in (None, claim.power_state) and claim.task_state is None and claim.vm_state in TOLD:
                self._driver.events.note(
                    LifecycleEvent(instance_id=claim.instance_id, power_state=state, reason="seen on the host")
                )
