"""The NICs of a server to be: networks and ports that the caller may use, and security groups by name or id."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from api.common.parsers import is_uuid
from api.compute import limits
from api.compute.call import ComputeCall
from api.compute.errors import bad_request, conflict, forbidden
from api.compute.neighbours import neighbours
from api.compute.schemas.servers import GroupWish, NetworkWish
from infra.openstack import NETWORK


@dataclass(frozen=True)
class Nic:
    network_id: str | None
    port_id: str | None = None  # the tenant's own
    fixed_ip: str | None = None
    tag: str | None = None


def nics(call: ComputeCall, wish: list[NetworkWish] | str | None, count: int) -> list[Nic]:
    """NICs in the order asked for. Without a wish the only network that the project can use, if there is one.

    Raises 400 for unknown networks and ports and for malformed wishes, 403 for an external network, 409 for a port in
    use and when there is more than one network to choose from."""
    if wish == "none":
        return []
    if wish is None or wish == "auto" or not wish:
        return _only_network(call, required=wish == "auto")
    listed = list(wish) if not isinstance(wish, str) else []
    _require_sane(listed, count)
    return [_of_port(call, each) if each.port else _of_network(call, each) for each in listed]


ONE_BY_ONE = (
    "Failed to launch instances: Unable to launch multiple instances with a single configured port ID. "
    "Please launch your instance one by one with different ports."
)


def _require_sane(wish: list[NetworkWish], count: int) -> None:
    if len(wish) > limits.NICS:
        raise forbidden(limits.NICS_WORDS)
    seen: set[str] = set()
    for each in wish:
        if each.port is None:
            _require_network(each, count)
            continue
        if each.port in seen:
            raise bad_request(f"Port ID '{each.port}' was specified twice: you cannot attach a port multiple times.")
        seen.add(each.port)
        if each.fixed_ip:
            raise bad_request(
                f"Specified Fixed IP '{each.fixed_ip}' cannot be used with port '{each.port}': the two cannot be "
                "specified together."
            )
        if count > 1:
            raise bad_request(ONE_BY_ONE)


def _require_network(wish: NetworkWish, count: int) -> None:
    if wish.uuid is None:
        raise bad_request("Bad network format: missing 'uuid'")
    if not is_uuid(wish.uuid):
        raise bad_request(f"Bad networks format: network uuid is not in proper format ({wish.uuid[:64]})")
    if wish.fixed_ip and count > 1:
        raise bad_request("Failed to launch instances: max_count cannot be greater than 1 if an fixed_ip is specified.")


def usable_networks(call: ComputeCall) -> list[str]:
    """Ids of the networks on which the caller's project may have ports without naming them."""

    def usable(body: dict[str, Any]) -> list[str]:
        mine = call.context.project_id
        return [net["id"] for net in body.get("networks", []) if net.get("shared") or _owner(net) == mine]

    body = neighbours(call).get(call, NETWORK, "/v2.0/networks", good=lambda body: len(usable(body)) == 1)
    return usable(body or {})


def _only_network(call: ComputeCall, *, required: bool) -> list[Nic]:
    found = usable_networks(call)
    if len(found) > 1:
        raise conflict("Multiple possible networks found, use a Network ID to be more specific.")
    if not found and required:
        raise bad_request(f"Unable to automatically allocate a network for project {call.context.project_id}")
    return [Nic(network_id) for network_id in found]


def _of_network(call: ComputeCall, wish: NetworkWish) -> Nic:
    body = neighbours(call).get(
        call, NETWORK, f"/v2.0/networks/{wish.uuid}", good=lambda net: net["network"]["subnets"]
    )
    if body is None:
        raise bad_request(f"Network {wish.uuid} could not be found.")
    network = body["network"]
    if not network.get("subnets"):
        raise bad_request(f"Network {wish.uuid} requires a subnet in order to boot instances on.")
    external = network.get("router:external") and not network.get("shared")
    if external and not call.allows("network:attach_external_network"):
        raise forbidden(f"It is not allowed to create an interface on external network {wish.uuid}")
    if wish.fixed_ip:
        _require_free(call, network["id"], wish.fixed_ip)
    return Nic(network["id"], fixed_ip=wish.fixed_ip, tag=wish.tag)


def _require_free(call: ComputeCall, network_id: str, address: str) -> None:
    query = f"/v2.0/ports?network_id={network_id}&fixed_ips=ip_address%3D{quote(address)}"
    for port in (neighbours(call).get(call, NETWORK, query) or {}).get("ports", []):
        raise bad_request(
            f"Fixed IP address {address} is already in use on instance {port.get('device_id') or 'unknown'}."
        )


def _of_port(call: ComputeCall, wish: NetworkWish) -> Nic:
    body = neighbours(call).get(call, NETWORK, f"/v2.0/ports/{wish.port}")
    if body is None:
        raise bad_request(f"Port id {wish.port} could not be found.")
    port = body["port"]
    if port.get("device_id"):
        raise conflict(f"Port {wish.port} is still in use.")
    if _owner(port) != call.context.project_id:
        raise bad_request(f"Port {wish.port} not usable for an instance of project {call.context.project_id}.")
    return Nic(port["network_id"], port_id=port["id"], tag=wish.tag)


def _owner(thing: dict[str, Any]) -> str:
    return str(thing.get("project_id") or thing.get("tenant_id") or "")


def groups(call: ComputeCall, wish: list[GroupWish] | None) -> tuple[list[str], list[str]]:
    """(ids, names) of the security groups; no ids mean the project's default group. 400 for an unknown one, 409 for
    a name that several groups have."""
    wanted = list(dict.fromkeys(each.name for each in wish or () if each.name))
    if not wanted:
        return [], ["default"]
    query = f"/v2.0/security-groups?project_id={call.context.project_id}&fields=id&fields=name"

    def known(body: dict[str, Any]) -> bool:
        there = {text for group in body.get("security_groups", []) for text in (group["id"], group["name"])}
        return there.issuperset(wanted)

    listed = (neighbours(call).get(call, NETWORK, query, good=known) or {}).get("security_groups", [])
    found = [_group(call, name, listed) for name in wanted]
    by_id = {group["id"]: group["name"] for group in found}
    return list(by_id), list(by_id.values())


def _group(call: ComputeCall, wanted: str, known: list[dict[str, Any]]) -> dict[str, Any]:
    for group in known:
        if group["id"] == wanted:
            return group
    named = [group for group in known if group["name"] == wanted]
    if len(named) > 1:
        raise conflict(f"Multiple security groups found matching '{wanted}'. Use an ID to be more specific.")
    if named:
        return named[0]
    if is_uuid(wanted) and (body := neighbours(call).get(call, NETWORK, f"/v2.0/security-groups/{wanted}")):
        shared: dict[str, Any] = body["security_group"]
        return shared
    raise bad_request(f"Security group {wanted} not found.")
