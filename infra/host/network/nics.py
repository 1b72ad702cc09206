"""Interfaces of running guests: what their host has of them, and what was taken from under them given back."""

from typing import TYPE_CHECKING, Any

from infra.contracts.errors import hopeless
from infra.contracts.hypervisor import NicsOnHost
from infra.contracts.limits import Limits, Rate
from infra.host.heartbeats import Heartbeat, Turns, beating
from infra.host.libvirt.domain_xml import interface_xml
from infra.host.libvirt.domains import Domains

if TYPE_CHECKING:
    from infra.host.network.states import PortStates
    from infra.hostnet.models import Bandwidth
    from infra.hostnet.plane import DataPlane

KBIT = 8
"""kbit in a kilobyte, as `tc` and libvirt have it."""


class Nics:
    """`network` is None where this host plugs nothing itself."""

    def __init__(
        self, domains: Domains, network: "tuple[DataPlane, PortStates] | None", turns: Turns, virt_type: str
    ) -> None:
        self._hostnet = network[0] if network else None
        self._states = network[1] if network else None
        self._domains, self._turns, self._virt_type = domains, turns, virt_type

    def ports(self) -> dict[str, str]:
        """Plugged port → instance."""
        return self._hostnet.ports() if self._hostnet else {}

    def facts(self) -> dict[str, Any]:
        """Fields of HostFacts about the network; {} where this host plugs nothing."""
        if self._hostnet is None:
            return {}
        network = self._hostnet.describe()
        found = network.model_dump(include={"ports", "taps", "filters", "served"})
        rest = network.model_copy(update={"taps": list[str](), "filters": list[str](), "reservations": list[str]()})
        said = {"dhcp": sorted(network.networks), "answered": network.reservations, "network": rest}
        return {**found, **said, "plugs": True}

    def sync(self) -> None:
        """Bring this host's network in line with what it was told: bridges, DHCP servers and their entries, filters."""
        if self._hostnet:
            self._hostnet.sync()

    def limit(self, instance_id: str, limits: Limits) -> None:
        """Put what its flavor leaves the guest in force at the taps that it has by now."""
        if self._hostnet:
            self._hostnet.limit(instance_id, bandwidth(limits))

    def carried(self, instance_id: str) -> None:
        """A guest runs, or has another interface: its ports are ACTIVE before anybody is told of it."""
        if self._states:
            self._states.carried(instance_id)

    def mend(self, want: NicsOnHost, heartbeat: Heartbeat) -> None:
        """See `activities.hypervisor.Hypervisor.mend_nics`."""
        if self._hostnet is None:
            return
        self.sync()
        there = set(self._hostnet.describe().taps)
        with beating(heartbeat), self._turns.take(want.instance_id):
            for vif in want.vifs:
                if vif.tap not in there:
                    domain = self._domains.live_xml(want.instance_id)
                    self._replace(want.instance_id, vif.mac_address, interface_xml(vif, self._virt_type, domain))
        self.carried(want.instance_id)
        self.sync()  # some checks can only be tied to a tap that exists

    def _replace(self, instance_id: str, mac: str, xml: str) -> None:
        try:
            self._domains.replace_nic(instance_id, mac, xml)
        except TimeoutError as error:
            raise hopeless(f"Instance {instance_id}: {error}.", code=409) from None


def bandwidth(limits: Limits) -> "Bandwidth | None":
    """As the data plane has it: what comes to a guest is its ingress."""
    from infra.hostnet.models import Bandwidth  # only hosts that plug need the packages behind it

    found: dict[str, int] = {}
    for way, rate in (("ingress", limits.inbound), ("egress", limits.outbound)):
        found |= _told(way, rate) if rate else {}
    return Bandwidth.model_validate(found) if found else None


def _told(way: str, rate: Rate) -> dict[str, int]:
    told = {f"{way}_kbps": rate.average * KBIT, f"{way}_burst_kbits": rate.burst * KBIT * 1024 // 1000}
    return told | ({f"{way}_peak_kbps": rate.peak * KBIT} if rate.peak else {})
