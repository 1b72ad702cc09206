"""A server's addresses given and taken by its actions, as before 2.44: the network service does it for the caller."""

from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BeforeValidator, StringConstraints
from sqlalchemy import RowMapping

from api.common.errors import ServiceError
from api.compute.call import ComputeCall
from api.compute.errors import bad_request, conflict, not_found
from api.compute.neighbours import neighbours
from api.compute.records import instances
from api.compute.validation import Address, Strict, parse
from infra.openstack import NETWORK

Json = dict[str, Any]
NetworkId = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=36)],
    BeforeValidator(lambda value: str(value) if isinstance(value, int | float) else value),
]


class AddFixed(Strict):
    networkId: NetworkId


class OneAddress(Strict):
    address: Address


class AddFloating(Strict):
    address: Address
    fixed_address: Address | None = None


async def add_fixed_ip(call: ComputeCall, row: RowMapping, body: dict[str, Any]) -> Response:
    wish = parse(call, AddFixed, body, "addFixedIp")
    instances.require_unlocked(call, row)
    await run_in_threadpool(_add_fixed, call, row, wish.networkId)
    return Response(status_code=202)


async def remove_fixed_ip(call: ComputeCall, row: RowMapping, body: dict[str, Any]) -> Response:
    wish = parse(call, OneAddress, body, "removeFixedIp")
    instances.require_unlocked(call, row)
    await run_in_threadpool(_remove_fixed, call, row, wish.address)
    return Response(status_code=202)


async def add_floating_ip(call: ComputeCall, row: RowMapping, body: dict[str, Any]) -> Response:
    wish = parse(call, AddFloating, body, "addFloatingIp")
    await run_in_threadpool(_add_floating, call, row, wish)
    return Response(status_code=202)


async def remove_floating_ip(call: ComputeCall, row: RowMapping, body: dict[str, Any]) -> Response:
    wish = parse(call, OneAddress, body, "removeFloatingIp")
    await run_in_threadpool(_remove_floating, call, row, wish.address)
    return Response(status_code=202)


def _add_fixed(call: ComputeCall, row: RowMapping, network_id: str) -> None:
    """One more address of the first port on the network, of the first subnet that has one left."""
    on = [network["port_id"] for network in row["networks"] if network["network_id"] == network_id]
    subnets = _list(call, "subnets", network_id=network_id) if on else []
    for port_id in on:
        for subnet in subnets:
            fixed = [*_fixed(call, port_id), {"subnet_id": subnet["id"]}]
            try:
                if _change(call, "port", port_id, fixed_ips=fixed):
                    return
            except ServiceError as refused:
                if refused.status == 503:
                    raise
    raise not_found(f"Network could not be found for instance {row['id']}.")


def _remove_fixed(call: ComputeCall, row: RowMapping, address: str) -> None:
    gone = ip_address(address)
    for network in row["networks"]:
        fixed = _fixed(call, network["port_id"])
        left = [each for each in fixed if ip_address(each["ip_address"]) != gone]
        if len(left) < len(fixed) and _change(call, "port", network["port_id"], fixed_ips=left):
            return
    raise bad_request(f"Instance {row['id']} does not have fixed IP '{address}'.")


def _add_floating(call: ComputeCall, row: RowMapping, wish: AddFloating) -> None:
    if not row["networks"]:
        raise bad_request("Instance network is not ready yet")
    ports = {address: network["port_id"] for network in row["networks"] for address in network["fixed_ips"]}
    if not ports:
        raise bad_request("No fixed IPs associated to instance")
    fixed = wish.fixed_address or next((each for each in ports if ip_address(each).version == 4), "")
    if not fixed:
        raise bad_request(
            f"Unable to associate floating IP {wish.address} to any fixed IPs for instance {row['id']}. "
            "Instance has no fixed IPv4 addresses to associate."
        )
    if fixed not in ports:
        raise bad_request("Specified fixed address not assigned to instance")
    found = _floating(call, wish.address)
    if found is None:
        raise not_found("floating IP not found")
    try:
        led = _change(call, "floatingip", found["id"], port_id=ports[fixed], fixed_ip_address=fixed)
    except ServiceError as refused:
        if refused.status in (400, 409):
            raise bad_request(refused.message) from refused
        raise
    if not led:
        raise not_found("floating IP not found")


def _remove_floating(call: ComputeCall, row: RowMapping, address: str) -> None:
    found = _floating(call, address)
    if found is None:
        raise not_found(f"Floating IP not found for address {address}.")
    port = _get(call, "port", found["port_id"]) if found["port_id"] else None
    if port is None or port["device_id"] != row["id"] or not _change(call, "floatingip", found["id"], port_id=None):
        raise conflict(f"Floating IP {address} is not associated with instance {row['id']}.")


def _floating(call: ComputeCall, address: str) -> Json | None:
    return next(iter(_list(call, "floatingips", floating_ip_address=address)), None)


def _fixed(call: ComputeCall, port_id: str) -> list[Json]:
    port = _get(call, "port", port_id)
    return [] if port is None else list(port["fixed_ips"])


def _get(call: ComputeCall, kind: str, id: str) -> Json | None:
    body = neighbours(call).get(call, NETWORK, f"/v2.0/{kind}s/{id}")
    return None if body is None else dict(body[kind])


def _list(call: ComputeCall, kinds: str, **where: str) -> list[Json]:
    return list((neighbours(call).get(call, NETWORK, f"/v2.0/{kinds}?{urlencode(where)}") or {}).get(kinds, []))


def _change(call: ComputeCall, kind: str, id: str, **values: Any) -> bool:
    """False when it is gone."""
    return neighbours(call).send(call, "PUT", NETWORK, f"/v2.0/{kind}s/{id}", json={kind: values}) is not None
