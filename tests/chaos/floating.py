"""Floating addresses of tenants in a storm: taken, moved between servers, parted, given back. Real guests only."""

import random
from typing import Any

from tests.chaos.cloud import Cloud, Tenant


async def prepare(cloud: Cloud) -> None:
    """An external network, and a router between it and the servers' network."""
    flat = {"provider:network_type": "flat", "provider:physical_network": "provider"}
    outside = {"network": {"name": "outside", "router:external": True, **flat}}
    made = await cloud.sure(cloud.admin, "POST", "network", "/v2.0/networks", json=outside)
    cloud.outside = made.json()["network"]["id"]
    subnet = {"network_id": cloud.outside, "ip_version": 4, "cidr": "172.31.240.0/24", "enable_dhcp": False}
    await cloud.sure(cloud.admin, "POST", "network", "/v2.0/subnets", json={"subnet": subnet})
    router = {"router": {"name": "chaos", "external_gateway_info": {"network_id": cloud.outside}}}
    made = await cloud.sure(cloud.admin, "POST", "network", "/v2.0/routers", json=router)
    found = await cloud.sure(cloud.admin, "GET", "network", f"/v2.0/subnets?network_id={cloud.network}")
    plug = f"/v2.0/routers/{made.json()['router']['id']}/add_router_interface"
    within = {"subnet_id": found.json()["subnets"][0]["id"]}
    await cloud.sure(cloud.admin, "PUT", "network", plug, json=within)


async def change(cloud: Cloud, dice: random.Random, tenant: Tenant, server_id: str) -> str:
    """One change of one address; what was done."""
    ports = await cloud.sure(tenant, "GET", "network", f"/v2.0/ports?device_id={server_id}")
    found = await cloud.sure(tenant, "GET", "network", f"/v2.0/floatingips?project_id={tenant.project}")
    mine: list[dict[str, Any]] = found.json()["floatingips"]
    port = next((one["id"] for one in ports.json()["ports"]), None)
    if not mine or (port and dice.random() < 0.4):
        body = {"floatingip": {"floating_network_id": cloud.outside, "port_id": port}}
        await cloud.sure(tenant, "POST", "network", "/v2.0/floatingips", json=body)
        return "floating address taken"
    path = f"/v2.0/floatingips/{dice.choice(mine)['id']}"
    if dice.random() < 0.3:
        await cloud.sure(tenant, "DELETE", "network", path)
        return "floating address given back"
    await cloud.sure(tenant, "PUT", "network", path, json={"floatingip": {"port_id": port}})
    return "floating address moved" if port else "floating address parted"


async def untruths(cloud: Cloud) -> list[str]:
    """Addresses of a port that is gone, or that do not carry what they should."""
    found = await cloud.sure(cloud.admin, "GET", "network", "/v2.0/floatingips")
    known = await cloud.sure(cloud.admin, "GET", "network", "/v2.0/ports?fields=id")
    ports = {port["id"] for port in known.json()["ports"]}
    return [
        f"floating address {one['floating_ip_address']} of port {one['port_id']} is {one['status']}"
        for one in found.json()["floatingips"]
        if one["status"] != ("ACTIVE" if one["port_id"] else "DOWN") or (one["port_id"] and one["port_id"] not in ports)
    ]
