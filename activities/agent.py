"""The agent within a guest. Runs on the queue of the guest's host."""

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.step import step
from infra.contracts.agent import NewPassword, Still

if TYPE_CHECKING:
    from infra.host.agent import GuestAgent


class Agent:
    def __init__(self, agent: "GuestAgent") -> None:
        self._agent = agent

    @step(resource="domain", budget=timedelta(minutes=1), tries=3)
    def set_password(self, want: NewPassword) -> None:
        """Have the guest's agent set a user's password. Setting it again changes nothing.

        Raises Hopeless in Nova's words: 409 for a guest without an agent, one that does not run and an agent that
        refuses; 501 when no agent answers. HostCannot when this host has lost the server."""
        self._agent.set_password(want, activity.heartbeat)

    @step(resource="domain", budget=timedelta(minutes=2))
    def hold_still(self, want: Still) -> None:
        """Have the guest's agent freeze its file systems; the host thaws them by itself after a minute.

        Frozen already is success. Where there is no agent, or it cannot, nothing is done, unless it is required:
        Hopeless (409) in Nova's words. HostCannot when this host has lost the server."""
        self._agent.hold(want, activity.heartbeat)

    @step(resource="domain", budget=timedelta(minutes=2))
    def let_go(self, want: Still) -> None:
        """The end of `hold_still`. Thawed already is success, unless stillness was required: then Hopeless (409), since
        it ended too early. A repeat after a lost answer finds the guest thawed and says the same."""
        self._agent.let_go(want, activity.heartbeat)

    @step(resource="domain", budget=timedelta(minutes=2))
    def thaw(self, want: Still) -> None:
        """Undo of `hold_still`. Thawed already is success."""
        self._agent.thaw(want.instance_id)
