"""Ports of an instance: made in the network service, plugged on the host (seed steps 23-25)."""

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from activities.step import step
from infra.contracts.network import Plugged, PortsOnHost

if TYPE_CHECKING:
    from infra.host.network.ports import PortPlugger


class Network:
    """Runs on the queue of the chosen host."""

    def __init__(self, plugger: "PortPlugger") -> None:
        self._plugger = plugger

    @step(resource="ports", budget=timedelta(minutes=10))
    def plug_ports(self, want: PortsOnHost) -> Plugged:
        """Create or bind each port, and prepare bridge, DHCP reservation and filter for it on this host.

        Idempotent: port ids are chosen beforehand, so that a repeated create finds its port. Raises Hopeless when
        the network is gone or has no address left, HostCannot when this host lacks the physical network. Of ports that
        a server has (`held`) those that are gone are left out of the answer."""
        return self._plugger.plug(want, activity.heartbeat)

    @step(resource="ports", budget=timedelta(minutes=5))
    def unplug_ports(self, want: PortsOnHost) -> None:
        """Undo of `plug_ports`: filter, reservation and tap go; our ports are deleted, the tenant's own unbound."""
        self._plugger.unplug(want, activity.heartbeat)

    @step(resource="ports", budget=timedelta(minutes=5))
    def part_ports(self, want: PortsOnHost) -> None:
        """Undo of `plug_ports` for a server that keeps its ports: filter, reservation and tap go, the ports are on no
        host. Absent is success."""
        self._plugger.part(want, activity.heartbeat)
