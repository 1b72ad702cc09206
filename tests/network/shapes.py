"""Every route of the network service, with the status and the shape of its answer (Networking API v2.0)."""

import re
from dataclasses import dataclass
from typing import Any

from tests.compute.contract import ANY, INT, STR, Either, May, like, problems
from tests.network import answers as a

ID = "[^/]+"


@dataclass(frozen=True)
class Route:
    """`named`: what `fields` in the query picks from, below this name of the answer; '' when it picks nothing."""

    method: str
    path: str
    status: int
    body: Any = a.NOTHING
    named: str = ""

    def fits(self, method: str, path: str) -> bool:
        return method == self.method and re.fullmatch(self.path, path) is not None


def _five(path: str, member: str, shape: dict[str, Any], collection: str = "", *, changed: bool = True) -> list[Route]:
    many = collection or f"{member}s"
    listed = {many: [shape], f"{many}_links": May(a.LINKS)}
    one, made = {member: shape}, Either(({member: shape}, {many: [shape]}))
    return [
        Route("GET", path, 200, listed, many),
        Route("POST", path, 201, made),
        Route("GET", f"{path}/{ID}", 200, one, member),
        Route("DELETE", f"{path}/{ID}", 204),
        *([Route("PUT", f"{path}/{ID}", 200, one)] if changed else []),
    ]


ROUTES: list[Route] = [
    Route("GET", "/?", 200, {"resources": [{"name": STR, "collection": STR, "links": a.LINKS}]}),
    Route("GET", "/extensions", 200, {"extensions": [a.EXTENSION]}),
    Route("GET", f"/extensions/{ID}", 200, {"extension": a.EXTENSION}),
    Route("GET", "/availability_zones", 200, {"availability_zones": [a.ZONE]}, "availability_zones"),
    Route("GET", "/service-providers", 200, {"service_providers": [a.PROVIDER]}, "service_providers"),
    Route("GET", "/agents", 200, {"agents": [a.AGENT]}, "agents"),
    Route("GET", f"/agents/{ID}", 200, {"agent": a.AGENT}, "agent"),
    Route("PUT", f"/agents/{ID}", 200, {"agent": a.AGENT}),
    Route("DELETE", f"/agents/{ID}", 204),
    Route(
        "GET",
        "/network-ip-availabilities",
        200,
        {"network_ip_availabilities": [a.AVAILABILITY]},
        "network_ip_availabilities",
    ),
    Route(
        "GET",
        f"/network-ip-availabilities/{ID}",
        200,
        {"network_ip_availability": a.AVAILABILITY},
        "network_ip_availability",
    ),
    Route("GET", "/quotas", 200, {"quotas": [a.QUOTA | a.OWNER]}),
    Route("GET", "/quotas/tenant", 200, {"tenant": {"tenant_id": a.OWNER["tenant_id"]}}),
    Route("GET", "/quotas/project", 200, {"project": {"project_id": a.OWNER["project_id"]}}),
    Route("GET", f"/quotas/{ID}", 200, {"quota": a.QUOTA}),
    Route("GET", f"/quotas/{ID}/default", 200, {"quota": a.QUOTA}),
    Route("GET", f"/quotas/{ID}/details", 200, {"quota": a.QUOTA_DETAILS}),
    Route("PUT", f"/quotas/{ID}", 200, {"quota": a.QUOTA}),
    Route("DELETE", f"/quotas/{ID}", 204),
    Route("GET", f"/auto-allocated-topology/{ID}", 200, a.TOPOLOGY),
    Route("DELETE", f"/auto-allocated-topology/{ID}", 204),
    Route("PUT", f"/routers/{ID}/(add|remove)_router_interface", 200, a.INTERFACE),
    Route("PUT", f"/routers/{ID}/(add|remove)_extraroutes", 200, {"router": a.ROUTER}),
    Route("GET", f"/trunks/{ID}/get_subports", 200, {"sub_ports": [a.SUBPORT]}),
    Route("PUT", f"/trunks/{ID}/(add|remove)_subports", 200, a.TRUNK),
    Route("PUT", f"/address-groups/{ID}/(add|remove)_addresses", 200, {"address_group": a.ADDRESS_GROUP}),
    Route("PUT", f"/subnetpools/{ID}/(add|remove)_prefixes", 200, {"prefixes": [a.CIDR]}),
    *_five(f"/floatingips/{ID}/port_forwardings", "port_forwarding", a.FORWARDING),
    Route("GET", "/qos/rule-types", 200, {"rule_types": [{"type": STR}]}, "rule_types"),
    Route("GET", f"/qos/rule-types/{ID}", 200, {"rule_type": {"type": STR, "drivers": [ANY]}}, "rule_type"),
    *_five(f"/qos/policies/{ID}/bandwidth_limit_rules", "bandwidth_limit_rule", a.LIMIT),
    *_five("/networks", "network", a.NETWORK),
    *_five("/subnets", "subnet", a.SUBNET),
    *_five("/ports", "port", a.PORT),
    *_five("/routers", "router", a.ROUTER),
    *_five("/floatingips", "floatingip", a.FLOATING_IP),
    *_five("/security-groups", "security_group", a.GROUP),
    *_five("/security-group-rules", "security_group_rule", a.RULE, changed=False),
    *_five("/address-groups", "address_group", a.ADDRESS_GROUP),
    *_five("/address-scopes", "address_scope", a.ADDRESS_SCOPE),
    *_five("/subnetpools", "subnetpool", a.POOL),
    *_five("/rbac-policies", "rbac_policy", a.RBAC, "rbac_policies"),
    *_five("/qos/policies", "policy", a.POLICY, "policies"),
    *_five("/trunks", "trunk", a.TRUNK),
    Route("GET", f"/(qos/)?{ID}/{ID}/tags", 200, {"tags": [STR]}),
    Route("PUT", f"/(qos/)?{ID}/{ID}/tags", 200, {"tags": [STR]}),
    Route("POST", f"/(qos/)?{ID}/{ID}/tags", 201, {"tags": [STR]}),
    Route("DELETE", f"/(qos/)?{ID}/{ID}/tags", 204),
    Route("GET", f"/(qos/)?{ID}/{ID}/tags/{ID}", 204),
    Route("PUT", f"/(qos/)?{ID}/{ID}/tags/{ID}", 201),
    Route("DELETE", f"/(qos/)?{ID}/{ID}/tags/{ID}", 204),
]


def route(method: str, path: str) -> Route | None:
    """The first that fits; `path` is below /v2.0."""
    return next((each for each in ROUTES if each.fits(method, path)), None)


def violations(method: str, path: str, fields: set[str], status: int, body: Any) -> list[str]:
    """Everything about one exchange that the API reference does not have."""
    if status >= 400:
        return _error(status, body)
    known = route(method, path)
    if known is None:
        return ["the API reference has no such route"]
    if status != known.status:
        return [f"status {status}, not {known.status}"]
    return problems(_picked(known, fields) if fields and known.named else known.body, body, 1, "answer")


REQUEST_ONLY = {"prefixlen", "use_default_subnetpool", "segments", "subnet_id", "check_limit", "force"}
"""Attributes that a request may have and no answer has (Networking API v2.0)."""


def asked_too_much(asked: Any, answered: Any) -> list[str]:
    """Attributes of a request that succeeded and that its resource does not have: they were taken and not obeyed."""
    if not isinstance(asked, dict) or not isinstance(answered, dict):
        return []
    wrong = []
    for name, given in asked.items():
        told = answered.get(name)
        pairs = (
            [(given, told)]
            if isinstance(given, dict)
            else zip(given, told, strict=False)
            if isinstance(told, list)
            else []
        )
        for wish, made in pairs:
            if isinstance(wish, dict) and isinstance(made, dict):
                wrong += [f"request/{name}/{key}: too many" for key in wish if key not in made.keys() | REQUEST_ONLY]
    return wrong


def _picked(known: Route, fields: set[str]) -> Any:
    """Of each resource exactly the names that the query asked for; those that the caller may not see are left out."""
    shape = known.body[known.named]
    one = shape[0] if isinstance(shape, list) else shape
    every = {**one, **(one["admins"].names if "admins" in one else {})}
    admins = one["admins"].names if "admins" in one else {}
    kept = {n: May(part) if n in admins else part for n, part in every.items() if n in fields and n != "admins"}
    return {**known.body, known.named: [kept] if isinstance(shape, list) else kept}


def _error(status: int, body: Any) -> list[str]:
    """Neutron's format; 401 is keystonemiddleware's."""
    if status == 401:
        return problems({"error": {"code": INT, "title": STR, "message": STR}}, body, 1, "error")
    return problems({"NeutronError": {"type": like(r"[A-Z]\w+"), "message": STR, "detail": STR}}, body, 1, "error")
