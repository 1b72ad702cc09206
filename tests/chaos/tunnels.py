"""Tenants' networks across hosts in a storm, by VXLAN: whether each host floods to the others that have the network,
and to nobody else, and whether a packet passes."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from infra.hostnet import entries, links, netns
from infra.hostnet.models import FixedIp, PortPlug
from infra.hostnet.store import Store
from infra.hostnet.tunnels import FLOOD
from infra.settings import Settings
from tests.chaos.cloud import Cloud, Tenant
from tests.hostnet.conftest import StandIn, pings
from workers.layout import Layout, host_settings

SUBNET = "10.98.0.0/24"
"""Of each tenant's own network: the same for all of them."""


async def prepare(cloud: Cloud) -> None:
    for tenant in cloud.tenants:
        made = await cloud.sure(tenant, "POST", "network", "/v2.0/networks", json={"network": {"name": "own"}})
        tenant.network = made.json()["network"]["id"]
        subnet = {"network_id": tenant.network, "ip_version": 4, "cidr": SUBNET}
        await cloud.sure(tenant, "POST", "network", "/v2.0/subnets", json={"subnet": subnet})


def hosts(cloud: Cloud) -> dict[str, Settings]:
    layout = Layout.load(cloud.state_dir)
    assert layout is not None
    return {host: host_settings(cloud.settings, layout, host) for host in layout.hosts}


async def untruths(cloud: Cloud) -> list[str]:
    """Where guests are, the network service says; where a router or DHCP is, the namespaces that exist."""
    answer = await cloud.sure(cloud.admin, "GET", "network", "/v2.0/networks")
    ports = (await cloud.sure(cloud.admin, "GET", "network", "/v2.0/ports")).json()["ports"]
    own, wrong = hosts(cloud), []
    for network in answer.json()["networks"]:
        if network.get("provider:network_type") != "vxlan":
            continue
        here = [port for port in ports if port["network_id"] == network["id"]]
        having = {name for name, host in own.items() if _has(name, host, network["id"], here)}
        tunnel = f"vx{network['provider:segmentation_id']}"
        for name, host in own.items():
            others = {(FLOOD, own[other].tunnel_ip) for other in having - {name}} if name in having else set()
            found = await asyncio.to_thread(entries.of_tunnel, host.netns, tunnel)
            if found != others:
                wrong.append(f"{tunnel} on {name} leads to {sorted(found)} instead of {sorted(others)}")
    return wrong


def _has(name: str, host: Settings, network_id: str, ports: list[dict[str, Any]]) -> bool:
    store = Store(host)
    spaces = [store.space_name("net", network_id)]
    spaces += [
        store.space_name("router", p["device_id"]) for p in ports if p["device_owner"].startswith("network:rout")
    ]
    return any(netns.path(space).exists() for space in spaces) or name in {p["binding:host_id"] for p in ports}


async def crossing(cloud: Cloud, tenant: Tenant) -> list[str]:
    """Two servers of the tenant on different hosts: with a real interface each, one reaches the other. Tells, too,
    between how many networks and hosts there were tunnels."""
    group = {"server_group": {"name": f"apart-{uuid.uuid4().hex[:8]}", "policy": "anti-affinity"}}
    made = await cloud.sure(tenant, "POST", "compute", "/v2.1/os-server-groups", json=group)
    hint = {"os:scheduler_hints": {"group": made.json()["server_group"]["id"]}}
    server = {"name": "across", "imageRef": cloud.image, "flavorRef": "chaos", "networks": [{"uuid": tenant.network}]}
    asked = [
        await cloud.sure(tenant, "POST", "compute", "/v2.1/servers", json={"server": server, **hint}) for _ in "12"
    ]
    both = [await _port(cloud, answer.json()["server"]["id"]) for answer in asked]
    own = hosts(cloud)
    if len(names := {port["binding:host_id"] for port in both}) != 2:
        return [f"two servers that were to be apart are on {names}"]
    ends = [await asyncio.to_thread(_tunnels, host) for host in own.values()]
    print(f"networks with tunnels, by host: {dict(zip(own, ends, strict=True))}; one packet from {names}")
    with ExitStack() as stack:
        one, other = (stack.enter_context(_guest(own[port["binding:host_id"]], port)) for port in both)
        for _ in range(40):  # a host's next look, every five seconds, ties some checks to the interface
            if await asyncio.to_thread(pings, one.ns, other.address, 0.5):
                return []
            await asyncio.sleep(0.3)
    return [f"no packet from {one.address} to {other.address} across {names}"]


async def _port(cloud: Cloud, server_id: str) -> dict[str, Any]:
    for _ in range(240):
        shown = await cloud.sure(cloud.admin, "GET", "compute", f"/v2.1/servers/{server_id}")
        if (server := shown.json()["server"])["status"] != "BUILD":
            break
        await asyncio.sleep(0.25)
    assert server["status"] == "ACTIVE", server.get("fault")
    ports = await cloud.sure(cloud.admin, "GET", "network", f"/v2.0/ports?device_id={server_id}")
    return dict(ports.json()["ports"][0])


def _tunnels(host: Settings) -> int:
    return sum(link.kind == "vxlan" for link in links.snapshot(host.netns).values())


@contextmanager
def _guest(host: Settings, port: dict[str, Any]) -> Iterator[StandIn]:
    fixed = [FixedIp(**each, cidr=SUBNET) for each in port["fixed_ips"]]
    known = {"port_id": port["id"], "instance_id": port["device_id"], "network_id": port["network_id"]}
    plug = PortPlug(**known, mac_address=port["mac_address"], fixed_ips=fixed)
    guest = StandIn(host.netns, plug, f"br-{port['network_id'][:11]}")
    try:
        guest.configure()
        yield guest
    finally:
        guest.close()
