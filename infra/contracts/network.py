"""Inputs and results of the port steps."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel

from infra.contracts.step import Done


class PortRequest(BaseModel):
    """One NIC. `port_id` is chosen beforehand: uuid5(instance_id, "port/<n>"), or the tenant's own port."""

    port_id: str
    network_id: str | None = None  # None with a tenant's own port
    fixed_ip: str | None = None
    preferred_ip: str | None = None  # taken when it is free (a build that runs again), else any
    mine: bool = True  # False: the tenant made the port; it is unbound, never deleted
    tag: str | None = None


class PortsOnHost(BaseModel):
    instance_id: str
    project_id: str
    hostname: str
    availability_zone: str = "nova"
    security_groups: list[str] = []  # ids; empty means the project's default group
    ports: list[PortRequest]
    attempt: int = 0  # of the claim that plugging needs, or under which another host's binding ends; 0: none
    held: bool = False  # the server has them: one that is gone, or another's by now, is left out, and none is made


WITH_MTU = "/"
OF_SUBNET = ("cidr", "gateway_ip", "dns_nameservers", "host_routes", "enable_dhcp", "ipv6_address_mode")
"""What an address knows of its subnet."""


class FixedIp(BaseModel):
    ip_address: str
    subnet_id: str
    cidr: str
    gateway_ip: str | None = None
    dns_nameservers: list[str] = []
    host_routes: list[dict[str, str]] = []
    enable_dhcp: bool = True
    ipv6_address_mode: str | None = None


class Vif(BaseModel):
    """A plugged port, as the domain and the config drive need it."""

    port_id: str
    network_id: str
    label: str  # the network's name
    mac_address: str
    tap: str
    bridge: str
    mtu: int = 1500
    fixed_ips: list[FixedIp] = []
    tag: str | None = None


class Plugged(Done):
    vifs: list[Vif] = []


def networks_now(known: list[dict[str, Any]], vifs: list[Vif]) -> list[dict[str, Any]]:
    """A server's ports as its record keeps them, after those that it still has were plugged once more."""
    now = {vif.port_id: network_of(vif) for vif in vifs}
    return [port | now[port["port_id"]] for port in known if port["port_id"] in now]


def network_of(vif: Vif) -> dict[str, Any]:
    """A server's port as its record keeps it (column `networks`). `told`: what a config drive that is written now tells
    of it; `now`: what one would have to tell by the last look."""
    told = digest_of(vif.mac_address, vif.fixed_ips, vif.mtu)
    return {
        "port_id": vif.port_id,
        "network_id": vif.network_id,
        "label": vif.label,
        "mac": vif.mac_address,
        "fixed_ips": [ip.ip_address for ip in vif.fixed_ips],
        "tag": vif.tag,
        "told": told,
        "now": told,
    }


def digest_of(mac_address: str, fixed_ips: list[FixedIp], mtu: int) -> str:
    """Of what a config drive tells of a port: its addresses with what their subnets say, and the network's MTU."""
    ips = sorted((ip.model_dump() for ip in fixed_ips), key=lambda ip: str(ip["ip_address"]))
    digest = hashlib.sha256(json.dumps([mac_address, ips], sort_keys=True).encode()).hexdigest()[:16]
    return f"{digest}{WITH_MTU}{mtu}"


def differ(known: str, now: str) -> bool:
    """Two such digests. One of before MTUs were among it, in a record or by a worker of then, says nothing of them."""
    if WITH_MTU in known and WITH_MTU in now:
        return known != now
    return known.partition(WITH_MTU)[0] != now.partition(WITH_MTU)[0]


def drive_is_old(networks: list[dict[str, Any]]) -> bool:
    """Whether the last look at a server's ports found other than what its config drive tells."""
    return any(differ(port.get("told") or "", port.get("now") or "") for port in networks)


def vif_of(port: dict[str, Any]) -> Vif:
    """What a record tells of a plugged port; where the host has its tap, the host knows."""
    return Vif(
        port_id=port["port_id"],
        network_id=port["network_id"],
        label=port["label"],
        mac_address=port["mac"],
        tap=f"tap{port['port_id'][:11]}",
        bridge="",
        tag=port.get("tag"),
    )


class GroupOnServer(BaseModel):
    """A security group that all ports of a server are to get (`add`), or to lose. `name`: as it was asked for."""

    instance_id: str
    group_id: str
    name: str
    add: bool


class PortsFound(Done):
    port_ids: list[str] = []


class GroupOnPorts(BaseModel):
    """The same for some of its ports: those that do not have it yet, or still have it."""

    instance_id: str
    group_id: str
    add: bool
    port_ids: list[str]


class PortsHeld(BaseModel):
    instance_id: str
    ports: dict[str, str] = {}  # port id → network id, as its record has them


class PortNow(BaseModel):
    """A port as the network service has it."""

    device_id: str
    fixed_ips: list[str]
    told: str  # see `digest_of`


class PortAddresses(Done):
    """What a look at a server's ports found; `gone`: those that are deleted, or another server's by now."""

    addresses: dict[str, list[str]] = {}  # port id → its addresses, of steps that ran before there was `ports`
    ports: dict[str, PortNow] = {}
    gone: list[str] = []


def as_looked_at(port: dict[str, Any], seen: PortAddresses) -> dict[str, Any]:
    """A server's port in its record, as a look found it. One that is gone has no address: the guest gives it back as
    soon as it can. One that was not seen is as it was. The name of its network stays that under which it was plugged:
    OpenTofu makes a server anew whose networks have other names than when it made it."""
    id = port["port_id"]
    if id in seen.gone:
        return port | {"fixed_ips": []}
    found = seen.ports.get(id)
    if found is None:
        return port | {"fixed_ips": seen.addresses.get(id, port["fixed_ips"])}
    known = port["fixed_ips"]
    ips = known if sorted(known) == sorted(found.fixed_ips) else found.fixed_ips
    return port | {"fixed_ips": ips, "now": found.told}
