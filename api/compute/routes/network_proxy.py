"""Networks and floating addresses by way of the compute API, as clients asked for them before 2.36."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from api.common.errors import ServiceError
from api.common.parsers import is_uuid
from api.compute.call import Body, Call, ComputeCall, versions
from api.compute.errors import bad_request, forbidden, not_found
from api.compute.neighbours import neighbours
from api.compute.validation import Strict, check
from infra.openstack import NETWORK

router = APIRouter()
PROXY = [versions(1, 35)]
RULE = "os_compute_api:"
FIELDS = ("id", "cidr", "netmask", "gateway", "broadcast", "dns1", "dns2", "cidr_v6", "gateway_v6", "label",
          "netmask_v6")  # fmt: skip
ADMINS = ("created_at", "updated_at", "deleted_at", "deleted", "injected", "bridge", "vlan", "vpn_public_address",
          "vpn_public_port", "vpn_private_address", "dhcp_start", "project_id", "host", "bridge_interface",
          "multi_host", "priority", "rxtx_base", "mtu", "dhcp_server", "enable_dhcp", "share_address")  # fmt: skip
"""What nova-network knew; of it, today's Nova fills in id and label, and nothing else."""
NO_POOL = "Floating IP pool not found."
DEFAULT_POOL = "nova"
"""Nova's own default of `[neutron] default_floating_pool`."""
Json = dict[str, Any]


class Pool(Strict):
    pool: Annotated[str, Field(max_length=255)] | None = None


@router.get("/os-networks", dependencies=PROXY)
def list_networks(call: Call) -> Response:
    """Networks that the caller may use, by id and label."""
    call.enforce(RULE + "os-networks:list")
    return JSONResponse({"networks": [_network(call, each) for each in _networks(call)]})


@router.get("/os-networks/{network_id}", dependencies=PROXY)
def show_network(call: Call, network_id: str) -> Response:
    """One network by its id."""
    call.enforce(RULE + "os-networks:show")
    return JSONResponse({"network": _network(call, _find_network(call, network_id))})


@router.get("/os-tenant-networks", dependencies=PROXY)
def list_tenant_networks(call: Call) -> Response:
    """Networks that the caller may use."""
    call.enforce(RULE + "os-tenant-networks:list")
    return JSONResponse({"networks": [_tenant_network(each) for each in _networks(call)]})


@router.get("/os-tenant-networks/{network_id}", dependencies=PROXY)
def show_tenant_network(call: Call, network_id: str) -> Response:
    """One network by its id."""
    call.enforce(RULE + "os-tenant-networks:show")
    return JSONResponse({"network": _tenant_network(_find_network(call, network_id))})


@router.get("/os-floating-ip-pools", dependencies=PROXY)
def list_pools(call: Call) -> Response:
    """Names of the external networks."""
    call.enforce(RULE + "os-floating-ip-pools")
    return JSONResponse({"floating_ip_pools": [{"name": each["name"] or each["id"]} for each in _pools(call)]})


@router.get("/os-floating-ips", dependencies=PROXY)
def list_floating_ips(call: Call) -> Response:
    """The project's floating addresses."""
    call.enforce(RULE + "os-floating-ips:list")
    found = ask(call, f"/v2.0/floatingips?project_id={call.context.project_id}", "floatingips")
    return JSONResponse({"floating_ips": _floating(call, found)})


@router.get("/os-floating-ips/{address_id}", dependencies=PROXY)
def show_floating_ip(call: Call, address_id: str) -> Response:
    """One floating address by its id."""
    call.enforce(RULE + "os-floating-ips:show")
    return JSONResponse({"floating_ip": _floating(call, [_find_floating(call, address_id)])[0]})


@router.post("/os-floating-ips", dependencies=PROXY)
def create_floating_ip(call: Call, body: Body) -> Response:
    """Take a floating address of a pool: an external network by name or id, else the one that is called `nova`."""
    call.enforce(RULE + "os-floating-ips:create")
    pool = check(Pool, body, "").pool
    where = [each["id"] for each in _pools(call) if (pool or DEFAULT_POOL) in (each["id"], each["name"])]
    if not where:
        raise not_found(NO_POOL)
    wish = {"floatingip": {"floating_network_id": where[0], "project_id": call.context.project_id}}
    try:
        made = neighbours(call).send(call, "POST", NETWORK, "/v2.0/floatingips", json=wish)
    except ServiceError as error:
        raise _no_address(error, pool) from None
    if made is None:
        raise not_found(NO_POOL)
    return JSONResponse({"floating_ip": _floating(call, [made["floatingip"]])[0]})


@router.delete("/os-floating-ips/{address_id}", status_code=202, dependencies=PROXY)
def delete_floating_ip(call: Call, address_id: str) -> Response:
    """Give a floating address back, whatever it leads to."""
    call.enforce(RULE + "os-floating-ips:delete")
    found = _find_floating(call, address_id)
    if neighbours(call).send(call, "DELETE", NETWORK, f"/v2.0/floatingips/{found['id']}") is None:
        raise not_found(f"Floating IP not found for ID {address_id[:64]}")
    return Response(status_code=202)


def ask(call: ComputeCall, path: str, what: str) -> list[Json]:
    return list((neighbours(call).get(call, NETWORK, path) or {}).get(what, []))


def _networks(call: ComputeCall) -> list[Json]:
    return ask(call, "/v2.0/networks?fields=id&fields=name", "networks")


def _pools(call: ComputeCall) -> list[Json]:
    return ask(call, "/v2.0/networks?router:external=True&fields=id&fields=name", "networks")


def _find_network(call: ComputeCall, network_id: str) -> Json:
    body = neighbours(call).get(call, NETWORK, f"/v2.0/networks/{quote(network_id, safe='')}")
    if body is None:
        raise not_found("Network not found")
    return dict(body["network"])


def _network(call: ComputeCall, network: Json) -> Json:
    names = (*FIELDS, *ADMINS) if call.context.is_admin else FIELDS
    return dict.fromkeys(names) | {"id": network["id"], "label": network["name"]}


def _tenant_network(network: Json) -> Json:
    return {"id": network["id"], "cidr": "None", "label": network["name"]}


def _find_floating(call: ComputeCall, address_id: str) -> Json:
    """400 for what is no id, 404 for an address that the caller does not have."""
    if not is_uuid(address_id):
        raise bad_request(f"Invalid ID received {address_id[:64]}.")
    body = neighbours(call).get(call, NETWORK, f"/v2.0/floatingips/{address_id}")
    if body is None:
        raise not_found(f"Floating IP not found for ID {address_id}")
    return dict(body["floatingip"])


def _floating(call: ComputeCall, found: list[Json]) -> list[Json]:
    """With the names of their pools, and the servers whose ports they lead to."""
    ports = {each["port_id"] for each in found if each["port_id"]}
    which = "&".join(f"id={port}" for port in sorted(ports))
    known = ask(call, f"/v2.0/ports?fields=id&fields=device_id&{which}", "ports") if ports else []
    servers = {port["id"]: port["device_id"] or None for port in known}
    pools = {pool["id"]: pool["name"] for pool in _pools(call)}
    return [
        {
            "id": each["id"],
            "ip": each["floating_ip_address"],
            "fixed_ip": each["fixed_ip_address"],
            "instance_id": servers.get(each["port_id"] or ""),
            "pool": pools.get(each["floating_network_id"]) or each["floating_network_id"],
        }
        for each in found
    ]


def _no_address(error: ServiceError, pool: str | None) -> ServiceError:
    """Neutron's refusal in Nova's words."""
    place = f" in pool {pool}" if pool else ""
    if error.title == "OverQuota":
        return forbidden(f"IP allocation over quota{place}.")
    if error.title in ("IpAddressGenerationFailure", "ExternalIpAddressExhausted"):
        return not_found(f"No more floating IPs{place or ' available'}.")
    return error
