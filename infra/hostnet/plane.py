"""The data plane as the rest of the host sees it: narrow, so that another one can stand in."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from pydantic import BaseModel

from infra.hostnet.models import Bandwidth, HostNetInventory, PortFilter, PortPlug
from infra.hostnet.topology import FloatingIp, Network, PortForwarding, Router


class Binding(BaseModel):
    """Where the hypervisor attaches a port's interface: the names of bridge and tap, and the MTU in bytes."""

    bridge: str
    tap: str
    mtu: int


class Report(BaseModel):
    """The body of `PUT /v2.0/kilonova/hosts/{host}`: tunnel address, bridge by physical network, states by id."""

    tunnel_ip: str = ""
    bridge_mappings: dict[str, str] = {}
    routers: dict[str, str] = {}
    floating_ips: dict[str, str] = {}
    ports: dict[str, str] = {}


class DataPlane(Protocol):
    """Every call may be repeated, and may be finished by the next `sync` after a crash at any point.

    HostNetworkError, with a reason that holds no secrets, when this host cannot do it."""

    def bind(self, port: PortPlug) -> Binding:
        """Where the port will be attached; changes nothing."""

    def plug(self, port: PortPlug) -> None:
        """Prepare all that the port needs before its guest starts, closed but for DHCP until groups are applied."""

    def unplug(self, port_id: str, instance_id: str | None = None) -> None:
        """Remove all that `plug` made; an absent port is success. With `instance_id` only if that one plugged it."""

    def limit(self, instance_id: str, bandwidth: Bandwidth | None) -> None:
        """Let none of the instance's ports have more. What the network service allows holds, too."""

    def ensure_network(self, network: Network) -> None:
        """Bring segment, DHCP and peers of the network in line with `network`."""

    def ensure_router(self, router: Router) -> None:
        """Bring the router's namespace in line with `router`, its floating addresses included."""

    def ensure_floating(
        self, router_id: str, floating: Sequence[FloatingIp], forwardings: Sequence[PortForwarding]
    ) -> None:
        """Make exactly these addresses and forwardings answer at a router that was ensured before."""

    def keep_only(self, networks: Collection[str], routers: Collection[str]) -> None:
        """Remove what earlier calls were told of any others; what plugged ports need stays."""

    def apply_groups(self, ports: Sequence[PortFilter], sets: Mapping[str, Sequence[str]]) -> bool:
        """Put the rules of all ports of this host in force; whether the kernel had to be told anything."""

    def carry_trunks(self) -> bool:
        """Make what the subports of plugged ports need, as `apply_groups` and `ensure_network` were told of them;
        whether anything had to be done."""

    def unable(self) -> str:
        """Why this host carries no subports, '' where it does."""

    def tapped(self, instance_id: str) -> dict[str, str]:
        """The guest's taps are there: make what hangs on them; its ports, subports included, and how each is."""

    def ports(self) -> dict[str, str]:
        """Id of every port that is plugged here → id of its instance."""

    def describe(self) -> HostNetInventory:
        """What exists on this host, whatever anybody's records say."""

    def report(self) -> Report:
        """What the network service is to know of this host."""

    def sync(self) -> list[str]:
        """Repair what was damaged from outside or left half done; what was repaired, in words."""
