"""Which port a server is to get: the network or port looked up with the caller's token, in the words and by the
statuses of Nova's attach (not those of its boot)."""

from typing import Any
from urllib.parse import quote

from sqlalchemy import RowMapping

from api.compute.boot.nics import usable_networks
from api.compute.call import ComputeCall
from api.compute.errors import bad_request, conflict, forbidden, not_found
from api.compute.neighbours import neighbours
from infra.openstack import NETWORK

Wish = dict[str, str]


def prepare(call: ComputeCall, row: RowMapping, wish: Wish) -> Wish:
    """`wish` as the workflow gets it (network_id, port_id, fixed_ip, tag), with a network in any case where a port is
    to be made. 400, 403, 404 and 409 as Nova has them."""
    if wish["network_id"] and wish["port_id"]:
        raise bad_request("Must not input both network_id and port_id")
    if wish["fixed_ip"] and not wish["network_id"]:
        raise bad_request("Must input network_id when request IP address")
    if wish["port_id"]:
        _require_port(call, row, wish["port_id"])
        return wish
    network_id = wish["network_id"] or _only_network(call)
    _require_network(call, network_id)
    if wish["fixed_ip"]:
        _require_free(call, network_id, wish["fixed_ip"])
    return {**wish, "network_id": network_id}


def _only_network(call: ComputeCall) -> str:
    found = usable_networks(call)
    if not found:
        raise bad_request(
            f"No specific network was requested and none are available for project '{call.context.project_id}'."
        )
    if len(found) > 1:
        raise bad_request("Multiple possible networks found, use a Network ID to be more specific.")
    return found[0]


def _require_port(call: ComputeCall, row: RowMapping, port_id: str) -> None:
    port = _ask(call, f"/v2.0/ports/{port_id}", "port")
    if port is None:
        raise not_found(f"Port id {port_id} could not be found.")
    if port.get("device_id"):
        raise conflict(f"Port {port_id} is still in use.")
    if (port.get("project_id") or port.get("tenant_id")) != row["project_id"]:
        raise bad_request(f"Port {port_id} not usable for instance {row['id']}.")
    if not port.get("fixed_ips"):
        raise bad_request(f"Port {port_id} requires a FixedIP in order to be used.")


def _require_network(call: ComputeCall, network_id: str) -> None:
    network = _ask(call, f"/v2.0/networks/{network_id}", "network")
    if network is None:
        raise not_found(f"Network {network_id} could not be found.")
    if not network.get("subnets"):
        raise bad_request(f"Network {network_id} requires a subnet in order to boot instances on.")
    external = network.get("router:external") and not network.get("shared")
    if external and not call.allows("network:attach_external_network"):
        raise forbidden(f"It is not allowed to create an interface on external network {network_id}")


def _require_free(call: ComputeCall, network_id: str, address: str) -> None:
    query = f"/v2.0/ports?network_id={network_id}&fixed_ips=ip_address%3D{quote(address)}"
    for port in _ask(call, query, "ports") or ():
        raise conflict(
            f"Fixed IP address {address} is already in use on instance {port.get('device_id') or 'unknown'}."
        )


def _ask(call: ComputeCall, path: str, what: str) -> Any:
    return (neighbours(call).get(call, NETWORK, path) or {}).get(what)
