"""What a guest may know of itself, asked by the host whose network it asks from.

Source: Nova user guide, "Metadata service". The host vouches for network and source address: nobody else can send
from a port's address there."""

import json
from typing import Annotated, Any
from urllib.parse import urlencode

from cryptography.exceptions import InvalidTag
from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from api.compute.call import Call, ComputeCall
from api.compute.errors import not_found
from api.compute.neighbours import neighbours
from infra.contracts.hypervisor import DomainSpec, FlavorFacts, GuestConfig
from infra.contracts.network import FixedIp, Vif
from infra.host.files import configdrive
from infra.openstack import NETWORK
from infra.tables.compute import Instance

router = APIRouter(prefix="/kilonova/hosts/{host}/metadata")
Id = Annotated[str, Query(max_length=64)]
Body = dict[str, Any]
ROUTED = "network:router_interface"


@router.get("")
def show_metadata(call: Call, host: str, address: Id, network_id: Id = "", router_id: Id = "") -> JSONResponse:
    """Metadata of the server whose port has `address` on the network, or on a network of the router: `meta_data`,
    `network_data`, `user_data` (base64 or null), `ec2`. 404 when there is none."""
    call.enforce("kilonova:host", host=host)
    port = _port(call, [network_id] if network_id else _networks(call, router_id), address)
    if port is None:
        raise not_found("No server has this address there.")
    with call.db.read() as session:
        row = session.get(Instance, port["device_id"])
        if row is None or row.deleted_at is not None:
            raise not_found("No server has this address there.")
        return JSONResponse(_document(call, row, address))


def _list(call: ComputeCall, kind: str, **where: str) -> list[Body]:
    found = neighbours(call).get(call, NETWORK, f"/v2.0/{kind}?{urlencode(where)}") or {}
    return list(found.get(kind, []))


def _networks(call: ComputeCall, router_id: str) -> list[str]:
    if not router_id:
        return []
    return [port["network_id"] for port in _list(call, "ports", device_id=router_id, device_owner=ROUTED)]


def _port(call: ComputeCall, networks: list[str], address: str) -> Body | None:
    for network_id in networks:
        for port in _list(call, "ports", network_id=network_id, fixed_ips=f"ip_address={address}"):
            if port["device_owner"].startswith("compute:"):
                return port
    return None


def _document(call: ComputeCall, row: Instance, address: str) -> Body:
    request = _request(call, row)
    spec = DomainSpec(
        instance_id=row.id,
        attempt=0,
        name=row.name,
        project_id=row.project_id,
        user_id=row.user_id,
        flavor=FlavorFacts(id=row.flavor_id, name="", vcpus=row.vcpus, ram=row.memory_mb),
        vifs=_vifs(call, row.id),
        guest=GuestConfig(
            hostname=row.hostname,
            key_name=row.key_name,
            public_key=request.get("public_key"),
            metadata=row.server_metadata,
            availability_zone=row.availability_zone or "nova",
            launch_index=row.launch_index,
        ),
    )
    return {
        "meta_data": configdrive.meta_data(spec),
        "network_data": configdrive.network_data(spec.vifs),
        "user_data": request.get("user_data"),
        "ec2": {
            "instance-type": str(row.flavor.get("name") or row.flavor_id),
            "local-ipv4": address,
            "reservation-id": row.reservation_id,
            "security-groups": "\n".join(row.security_groups),
        },
    }


def _request(call: ComputeCall, row: Instance) -> Body:
    """The request that built the server: its key and user data; empty when it cannot be opened any more."""
    if not row.sealed_request:
        return {}
    try:
        opened: Body = json.loads(call.request.app.state.ring.unseal(row.sealed_request))
        return opened
    except (KeyError, ValueError, InvalidTag):
        return {}


def _vifs(call: ComputeCall, instance_id: str) -> list[Vif]:
    return [_vif(call, port) for port in _list(call, "ports", device_id=instance_id)]


def _vif(call: ComputeCall, port: Body) -> Vif:
    network = next(iter(_list(call, "networks", id=port["network_id"])), {})
    subnets = {s["id"]: s for s in _list(call, "subnets", network_id=port["network_id"])}
    told = ("cidr", "gateway_ip", "dns_nameservers", "host_routes", "enable_dhcp")
    return Vif(
        port_id=port["id"],
        network_id=port["network_id"],
        label=str(network.get("name", "")),
        mac_address=port["mac_address"],
        tap=f"tap{port['id'][:11]}",
        bridge="",
        mtu=network.get("mtu") or 1500,
        fixed_ips=[
            FixedIp(**fixed, **{name: subnets[fixed["subnet_id"]][name] for name in told})
            for fixed in port["fixed_ips"]
            if fixed["subnet_id"] in subnets
        ],
    )
