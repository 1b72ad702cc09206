"""What the agent within a guest does for its host: sets a password, holds the file systems still for a copy."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from infra import logs
from infra.contracts.agent import NewPassword, Still
from infra.contracts.errors import hopeless
from infra.contracts.power_states import RUNNING
from infra.host.driver import Driver
from infra.host.heartbeats import Heartbeat, beating
from infra.host.libvirt.agents import AgentAway, AgentRefused

HELD_S = 60.0
QUIESCE_FAILED = "Failed to quiesce instance: the guest's file systems"
NOT_ENABLED = "QEMU guest agent is not enabled"
log = logs.get(__name__)


class GuestAgent:
    def __init__(self, driver: Driver) -> None:
        self._driver, self._agents, self._files = driver, driver.agents, driver.files

    def set_password(self, want: NewPassword, heartbeat: Heartbeat) -> None:
        """See `activities.agent.Agent.set_password`."""
        id = want.instance_id
        failed = f"Failed to set admin password on {id} because"
        with beating(heartbeat), self._driver.at_work(want):
            if not self._agents.enabled(id):
                raise hopeless(NOT_ENABLED, code=409)
            if self._driver.power_state(id) != RUNNING:
                raise hopeless(f"{failed} instance {id} is not running", code=409)
            try:
                self._agents.set_password(id, want.user, want.password)
            except AgentAway:
                raise hopeless("Unable to set password on instance", code=501) from None
            except AgentRefused:
                raise hopeless(f"{failed} error setting admin password", code=409) from None

    def hold(self, want: Still, heartbeat: Heartbeat) -> None:
        """See `activities.agent.Agent.hold_still`. Nothing but this host may be needed for the guest to go on."""
        id = want.instance_id
        with beating(heartbeat), self._driver.at_work(want):
            if self._driver.power_state(id) == RUNNING and not self._files.frozen(id).exists():
                self._freeze(id, required=want.required)
                timer = threading.Timer(HELD_S, self.thaw, (id,))
                timer.daemon = True
                timer.start()

    def let_go(self, want: Still, heartbeat: Heartbeat) -> None:
        """See `activities.agent.Agent.let_go`."""
        with beating(heartbeat):
            held = self._files.frozen(want.instance_id).exists()
            self.thaw(want.instance_id)
            if want.required and not held:
                raise hopeless(f"{QUIESCE_FAILED} did not stay frozen long enough", code=409)

    @contextmanager
    def still(self, instance_id: str, *, required: bool) -> Iterator[None]:
        """The guest's file systems are frozen meanwhile, where an agent can, and thawed in any case.

        Hopeless (409) when that is `required` and the agent is not there, or cannot."""
        try:
            self._freeze(instance_id, required=required)
            yield
        finally:
            self.thaw(instance_id)

    def thaw_left(self) -> None:
        """What a worker that died left frozen goes on, before this one takes work."""
        for instance_id in self._files.all_frozen():
            self.thaw(instance_id)

    def thaw(self, instance_id: str) -> None:
        """What was frozen goes on, also when that was an earlier try's. A guest whose agent does not answer any more
        stays marked, and is thawed by the next try, or by its own restart."""
        mark = self._files.frozen(instance_id)
        if not mark.exists():
            return
        try:
            self._agents.thaw(instance_id)
        except (AgentAway, AgentRefused) as error:
            log.warning("guest not thawed", instance_id=instance_id, error=str(error))
            if self._driver.power_state(instance_id) == RUNNING:
                return
        mark.unlink(missing_ok=True)

    def _freeze(self, instance_id: str, *, required: bool) -> None:
        reason = NOT_ENABLED
        if self._agents.enabled(instance_id):
            self._files.frozen(instance_id).touch()
            try:
                self._agents.freeze(instance_id)
                return
            except (AgentAway, AgentRefused) as error:
                log.info("not quiesced", instance_id=instance_id, reason=str(error))
                reason = f"{QUIESCE_FAILED} could not be frozen"
        if required:
            raise hopeless(reason, code=409)
