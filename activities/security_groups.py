"""Security groups of a server's ports. Runs on the control worker: a port's groups need no host."""

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.services import answering
from activities.step import Where, step
from infra.contracts.network import GroupOnPorts, GroupOnServer, PortsFound

if TYPE_CHECKING:
    from infra.host.services.port_groups import PortGroups


class SecurityGroups:
    def __init__(self, groups: "PortGroups") -> None:
        self._groups = groups

    @step(on=Where.CONTROL, budget=timedelta(minutes=1), tries=0)
    def find_ports(self, want: GroupOnServer) -> PortsFound:
        """The server's ports that are to get the group, or to lose it. Reads only.

        Raises Hopeless in Nova's words: 404 when the server has no ports, or none of them has the group to be taken
        away; 503 when the network service stays away, since somebody waits for the answer."""
        with answering(activity.heartbeat):
            return self._groups.find(want)

    @step(on=Where.CONTROL, budget=timedelta(minutes=5), tries=0)
    def change_groups(self, want: GroupOnPorts) -> None:
        """Add the group to these ports, or take it from them. One that is so already, or gone, is success."""
        self._groups.change(want, activity.heartbeat)

    @step(on=Where.CONTROL, budget=timedelta(minutes=5), tries=0)
    def restore_groups(self, want: GroupOnPorts) -> None:
        """Undo of `change_groups`, which named only ports that were not so before."""
        self._groups.restore(want, activity.heartbeat)
