"""Servers' ports as the network service has them: of all servers at once, or of one."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from keystoneauth1.session import Session

from infra.contracts.network import OF_SUBNET, FixedIp, PortAddresses, PortNow, PortsHeld, digest_of
from infra.host.services.rest import Service
from infra.openstack import NETWORK

BY_ID = 40
"""Ids in one question: more would make a URL that services refuse."""
SECOND_LOOK_S = 2.0
OF_PORT = ("id", "device_id", "device_owner", "network_id", "mac_address", "fixed_ips")
Body = dict[str, Any]


class PortsNow:
    """Reads only. Every method raises as `Service` sorts: a service that does not answer has said nothing."""

    def __init__(self, session: Session, region: str) -> None:
        self._api = Service(session, NETWORK, "/v2.0", region)

    def all(self) -> dict[str, PortNow]:
        """Port id → port, of every server. Not being among them means nothing: see `gone`."""
        ports = self._api.pages("/ports", "ports", {"fields": list(OF_PORT)})
        return self._shown([port for port in ports if (port["device_owner"] or "").startswith("compute:")])

    def of_server(self, want: PortsHeld) -> PortAddresses:
        """A server's own ports, and which of those that its record has are gone, by two looks."""
        query = {"device_id": want.instance_id, "fields": list(OF_PORT)}
        mine = self._shown(self._api.ask("GET", "/ports", params=query).json()["ports"])
        held = {id: net for id, net in want.ports.items() if id not in mine}
        owners = dict.fromkeys(held, want.instance_id)
        lost = self.gone(owners, held, knows=bool(mine))
        if lost:
            time.sleep(SECOND_LOOK_S)
            lost = self.gone(dict.fromkeys(lost, want.instance_id), held, knows=bool(mine))
        return PortAddresses(ports=mine, gone=lost)

    def gone(self, owners: dict[str, str], networks: dict[str, str], *, knows: bool) -> list[str]:
        """Those of `owners` (port → its server) that the service, asked for each by its id, does not have, or has as
        another server's.

        `networks`: port → network. A service that knows neither the port's network nor (`knows`) any port of our
        servers has lost its store, or is another one: its not knowing a port means nothing."""
        found = {port["id"]: port for port in self._some("/ports", "ports", "id", owners, ("id", "device_id"))}
        lost = [
            id for id, server in owners.items() if id not in found or found[id]["device_id"] not in (None, "", server)
        ]
        nets = {networks[id] for id in lost} if not (knows or found) else set()
        here = {net["id"] for net in self._some("/networks", "networks", "id", nets, ("id",))}
        return [id for id in lost if knows or found or networks[id] in here]

    def _shown(self, ports: Sequence[Body]) -> dict[str, PortNow]:
        """What ports' subnets and networks tell is asked for once. A port of which something is not told came between
        the questions, and is left to the next look."""
        nets = {port["network_id"] for port in ports}
        fields = ("id", *OF_SUBNET)
        subnets = {net["id"]: net for net in self._some("/subnets", "subnets", "network_id", nets, fields)}
        mtus = {net["id"]: mtu_of(net) for net in self._some("/networks", "networks", "id", nets, ("id", "mtu"))}
        return {
            port["id"]: _port(port, subnets, mtus[port["network_id"]])
            for port in ports
            if port["network_id"] in mtus and all(fixed["subnet_id"] in subnets for fixed in port["fixed_ips"])
        }

    def _some(self, path: str, kind: str, key: str, ids: Iterable[str], fields: Sequence[str]) -> Iterator[Body]:
        wanted = sorted(ids)
        for start in range(0, len(wanted), BY_ID):
            some = {key: wanted[start : start + BY_ID], "fields": list(fields)}
            yield from self._api.pages(path, kind, some)


def _port(port: Body, subnets: dict[str, Body], mtu: int) -> PortNow:
    ips = [fixed_ip(fixed, subnets[fixed["subnet_id"]]) for fixed in port["fixed_ips"]]
    return PortNow(
        device_id=port["device_id"] or "",
        fixed_ips=[ip.ip_address for ip in ips],
        told=digest_of(port["mac_address"], ips, mtu),
    )


def mtu_of(network: Body) -> int:
    """Where the service knows of none, what Ethernet has."""
    return network.get("mtu") or 1500


def fixed_ip(fixed: Body, subnet: Body) -> FixedIp:
    """An address with what its subnet says."""
    known = {key: subnet[key] for key in OF_SUBNET if key in subnet}
    return FixedIp(ip_address=fixed["ip_address"], subnet_id=fixed["subnet_id"], **known)
