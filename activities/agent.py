"""The agent within a guest. Runs on the queue of the guest's host."""

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.step import step
from infra.contracts.agent import NewPassword

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
