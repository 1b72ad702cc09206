"""What one host must carry: its ports with their rules, the networks they lie in, and the routers placed on it."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlmodel import Session, col, select

from api.network.model import port_rules, router_topology
from api.network.model.kinds import batches
from api.network.model.placement import GATEWAY
from api.network.model.port_view import fixed_ips
from infra.tables.network import Host, Network, Port, Router, Subnet

SUBNET = (
    "id",
    "cidr",
    "ip_version",
    "gateway_ip",
    "enable_dhcp",
    "allocation_pools",
    "dns_nameservers",
    "host_routes",
    "ipv6_ra_mode",
    "ipv6_address_mode",
)


def of_host(session: Session, host: str) -> dict[str, Any]:
    """The whole answer of `GET /v2.0/kilonova/topology?host=`: networks, ports, sets, routers."""
    ports = list(session.exec(select(Port).where(Port.host == host).order_by(Port.id)))
    routers = list(session.exec(select(Router).where(Router.host == host).order_by(Router.id)))
    shown_routers, routed = router_topology.of(session, routers)
    ids = {port.network_id for port in ports} | routed | _served(session, host)
    shown_ports, sets = port_rules.of(session, ports)
    return {
        "networks": _networks(session, host, sorted(ids)),
        "ports": shown_ports,
        "sets": sets,
        "routers": shown_routers,
    }


def _served(session: Session, host: str) -> set[str]:
    """Networks whose DHCP lies on `host` while any guest is plugged into them."""
    used = select(Port.network_id).where(Port.host != "")
    return set(session.exec(select(Network.id).where(Network.dhcp_host == host, col(Network.id).in_(used))))


def _networks(session: Session, host: str, ids: Sequence[str]) -> list[dict[str, Any]]:
    rows = [row for part in batches(ids) for row in session.exec(select(Network).where(col(Network.id).in_(part)))]
    subnets, peers = _subnets(session, ids), _peers(session, host, rows)
    serving = [row.id for row in rows if row.dhcp_host == host and any(one["enable_dhcp"] for one in subnets[row.id])]
    entries = _entries(session, serving)
    return [
        {
            "id": row.id,
            "name": row.name,
            "segment": row.segmentation_id,
            "physical_network": row.physical_network,
            "mtu": row.mtu,
            "external": row.external,
            "admin_state_up": row.admin_state_up,
            "peers": peers[row.id],
            "serves_dhcp": row.id in serving,
            "dns_domain": row.dns_domain,
            "subnets": subnets[row.id],
            "ports": entries.get(row.id, []),
        }
        for row in rows
    ]


def _subnets(session: Session, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {network_id: [] for network_id in ids}
    for part in batches(ids):
        for row in session.exec(select(Subnet).where(col(Subnet.network_id).in_(part)).order_by(Subnet.id)):
            found[row.network_id].append({name: getattr(row, name) for name in SUBNET})
    return found


def _peers(session: Session, host: str, rows: Iterable[Network]) -> dict[str, list[str]]:
    """Tunnel addresses of every other host that has a guest, a router or DHCP of the network."""
    tunnels = dict(session.exec(select(Host.name, Host.tunnel_ip)).all())
    on: dict[str, set[str]] = {row.id: {row.dhcp_host} if row.dhcp_host else set() for row in rows}
    for part in batches(sorted(on)):
        bound = select(Port.network_id, Port.host).where(col(Port.network_id).in_(part), Port.host != "").distinct()
        for network_id, name in session.exec(bound):
            on[network_id].add(name)
        routed = select(Port.network_id, Router.host).join(Router, col(Router.id) == col(Port.device_id)).distinct()
        routed = routed.where(col(Port.network_id).in_(part), col(Router.host).is_not(None))
        for network_id, router_host in session.exec(routed):
            on[network_id].add(str(router_host))
    return {
        network_id: sorted({tunnels.get(name, "") for name in names - {host}} - {""})
        for network_id, names in on.items()
    }


def _entries(session: Session, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """All ports of networks whose DHCP is served here; gateways and floating addresses are nobody's to configure."""
    rows = [
        row
        for part in batches(ids)
        for row in session.exec(select(Port).where(col(Port.network_id).in_(part)).order_by(Port.id))
        if row.device_owner not in (GATEWAY, "network:floatingip")
    ]
    addresses = fixed_ips(session, [row.id for row in rows])
    found: dict[str, list[dict[str, Any]]] = {network_id: [] for network_id in ids}
    for row in rows:
        found[row.network_id].append(
            {
                "id": row.id,
                "mac_address": row.mac_address,
                "fixed_ips": addresses[row.id],
                "hostname": row.dns_name,
            }
        )
    return found
