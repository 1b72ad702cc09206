"""Networks on which guests get IPv6 addresses, or what goes with them, by DHCPv6; by SLAAC on tenants' own networks."""

from typing import Any

from tests.e2e.cloud import Cloud

PREFIXES = {"dhcpv6-stateless": "fd00:78::", "dhcpv6-stateful": "fd00:79::"}
RESOLVER6 = "fd00:53::53"


class Modes:
    """A network of each mode, for every tenant, with the gateway that it has on one machine. `ports`: by mode and
    the name of the tenant whose guest has it, and who deletes it."""

    def __init__(self, cloud: Cloud) -> None:
        self._network = cloud.admin.sdk.network
        self.ports: dict[tuple[str, str], Any] = {}
        self.networks = {mode: self._network.create_network(name=mode, shared=True) for mode in PREFIXES}
        for mode, network in self.networks.items():
            more = {"ipv6_ra_mode": mode, "ipv6_address_mode": mode, "dns_nameservers": [RESOLVER6]}
            self._network.create_subnet(network_id=network.id, ip_version=6, cidr=f"{PREFIXES[mode]}/64", **more)

    def port(self, mode: str, name: str, network: Any, group: str) -> str:
        """Id of a new port of the tenant with this name, whose network service is `network`."""
        made = network.create_port(network_id=self.networks[mode].id, security_groups=[group])
        self.ports[mode, name] = made
        return str(made.id)

    def address(self, mode: str, name: str) -> str:
        return str(self.ports[mode, name].fixed_ips[0]["ip_address"])

    def clear(self) -> None:
        for network in self.networks.values():
            self._network.delete_network(network)
