"""Routes by callers: nobody gets anywhere they do not belong.

Each route of compute, Placement, network and volume is asked for a member's things by seven kinds of caller, each
write with a body as clients send it. A success of somebody whom the table does not name is a hole."""

import json
import re
from collections import Counter
from pathlib import Path

import httpx
import pytest

import api.compute.policy
import api.network.policy
import api.placement.policy
import api.volume.policy
from api.common.context import Context
from api.common.policy import COMMON, Policy
from infra.identity import TokenFacts
from tests.compute.conftest import HTTP, Api, Cloud
from tests.edge import malformed, raw, templates, things
from tests.edge.described import NEWEST

SERVICES = ("compute", "placement", "network", "volume")
EVERYONE = frozenset(("reader", "member", "other", "admin", "service"))
OWN_READ, OWN_WRITE = frozenset(("reader", "member", "admin", "service")), frozenset(("member", "admin", "service"))
ANY_WRITE = frozenset(("member", "other", "admin", "service"))
ADMIN, HOSTS = frozenset(("admin",)), frozenset(("admin", "service"))

PUBLIC = re.compile(r"GET (/|/v2(\.1)?/?|/v3/?)")
SPECIAL: list[tuple[str, frozenset[str]]] = [
    (r"\w+ /v2\.1/kilonova/.*", HOSTS),
    (r"\w+ /(resource|allocation|trait|usages|reshaper).*", HOSTS),  # of Placement
    (r"GET /v2\.0/kilonova/.*", HOSTS),
    (r"\w+ /v2\.0/kilonova/.*", HOSTS),
    (r"\w+ /v2\.1/os-(hypervisors|services|hosts|migrations|aggregates)(/.*)?", ADMIN),
    (r"GET /v2\.1/os-availability-zone/detail", ADMIN),
    (r"GET /v2\.1/os-simple-tenant-usage", ADMIN),
    (r"(POST|PUT|DELETE) /v2\.1/flavors.*", ADMIN),
    (r"GET /v2\.1/flavors/\{flavor_id\}/os-flavor-access", ADMIN),
    (r"GET /v2\.1/os-quota-sets/\{project_id\}/defaults", EVERYONE),
    (r"(PUT|DELETE) /v2\.1/os-quota-sets/.*", ADMIN),
    (r"\w+ /v2\.1/os-quota-class-sets/.*", ADMIN),
    (r"(POST|DELETE) /v2\.1/os-keypairs.*", EVERYONE),  # a user's own, not a project's: as in Nova
    (r"GET /v2\.0/quotas", ADMIN),
    (r"(PUT|DELETE) /v2\.0/quotas/.*", ADMIN),
    (r"GET /v2\.0/quotas/(project|tenant)", EVERYONE),
    (r"\w+ /v2\.0/agents.*", ADMIN),
    (r"(POST|PUT|DELETE) /v2\.0/qos/.*", ADMIN),
    (r"GET /v2\.0/qos/rule-types/.*", ADMIN),
    (r"GET /v2\.0/network-ip-availabilities.*", ADMIN),
    (r"\w+ /v2\.0/auto-allocated-topology/.*", OWN_WRITE),
    (r"(PUT|DELETE|POST) /v3/(os-quota-sets|os-quota-class-sets|types|qos-specs)(/.*)?", ADMIN),
    (r"GET /v3/(os-services|scheduler-stats/get_pools|os-hosts)", ADMIN),
]
EMPTY = re.compile(r"GET /v2\.0/(agents|network-ip-availabilities)")
"""Lists that are empty for whoever may see nothing of them."""
OWNED = re.compile(r"\{(server_id|project_id|network_id|subnet_id|port_id|group_id|rule_id|volume_id|object_id|"
                   r"snapshot_id|attachment_id|resource_id|router_id|trunk_id|subnetpool_id|pool_id|address_scope_id|"
                   r"address_group_id|rbac_policy_id)\}")  # fmt: skip


def may(route: malformed.Route) -> frozenset[str]:
    """Who may succeed."""
    asked = f"{route.method} {route.path}"
    for pattern, who in SPECIAL:
        if re.fullmatch(pattern, asked):
            return who
    reads = route.method in ("GET", "HEAD")
    if OWNED.search(route.path):
        return OWN_READ if reads else OWN_WRITE
    return EVERYONE if reads else ANY_WRITE


def _is_empty(route: malformed.Route, answer: raw.Reply) -> bool:
    return bool(EMPTY.fullmatch(f"{route.method} {route.path}")) and not any(answer.json().values())


@pytest.fixture(scope="module")
def callers(cloud: Cloud, admin: Api, demo: Api, other: Api) -> dict[str, str]:
    """Tokens by kind of caller; the reader is of the member's project."""
    base, user = cloud.settings.identity_url, {"name": "edge-reader", "password": "secret", "domain_id": "default"}
    with httpx.Client(headers={"X-Auth-Token": admin.token}, **HTTP) as keystone:
        user_id = keystone.post(f"{base}/users", json={"user": user}).json()["user"]["id"]
        role = keystone.get(f"{base}/roles", params={"name": "reader"}).json()["roles"][0]["id"]
        keystone.put(f"{base}/projects/{demo.project_id}/users/{user_id}/roles/{role}").raise_for_status()
        project = keystone.get(f"{base}/projects/{demo.project_id}").json()["project"]["name"]
    reader = cloud.login("edge-reader", "secret", project)
    found = {"reader": reader, "member": demo, "other": other, "admin": admin, "service": cloud.user("nova")}
    return {kind: caller.token for kind, caller in found.items()} | {"nobody": "", "forger": "gAAAAABm" + "A" * 180}


@pytest.mark.turns
@pytest.mark.parametrize("service_name", SERVICES)
def test_nobody_where_they_do_not_belong(cloud: Cloud, demo: Api, callers: dict[str, str], service_name: str) -> None:
    ids = things.made_by(cloud, demo)[service_name]
    newest = NEWEST[service_name]
    count, holes, successes = 0, [], Counter[str]()
    document = cloud.settings.url(service_name, "/openapi.json")
    with raw.Client(cloud.settings.port(service_name)) as http:
        openapi = httpx.get(document, headers={"X-Auth-Token": demo.token}, **HTTP).json()
        for route in malformed.routes(openapi):
            url = route.filled({} if route.method == "PATCH" else ids, **ids)
            allowed = may(route)
            bodies = templates.of(service_name, route.method, route.path, ids) or [{}]
            for kind, token in callers.items():
                if route.method == "DELETE" and kind in allowed:
                    continue  # who may delete would take it from the others
                for body in bodies:
                    headers = {"x-auth-token": token.encode(), "openstack-api-version": newest.encode()}
                    headers["content-type"] = b"application/json"
                    content = json.dumps(body).encode() if route.method in ("POST", "PUT", "PATCH") else None
                    answer = http.ask(route.method, url, headers, content)
                    count += 1
                    successes[kind] += answer.is_success
                    assert answer.status < 500 or answer.status == 501
                    if kind in ("nobody", "forger"):
                        public = PUBLIC.fullmatch(f"{route.method} {route.path}")
                        if answer.status != 401 and not public:
                            holes.append(f"{kind}: {route.method} {route.path}: {answer.status}")
                    elif answer.is_success and kind not in allowed and not _is_empty(route, answer):
                        holes.append(f"{kind}: {route.method} {route.path}: {answer.status}")
    print(f"{service_name}: {count} requests of {len(callers)} callers; successes: {dict(successes)}")
    if service_name == "placement":
        assert successes["admin"] == successes["service"] > 10
    else:
        assert successes["admin"] >= successes["member"] > successes["reader"] > 5  # they get in where they do belong
    assert not holes, "\n".join(holes)


def test_no_token_reads_the_description_of_a_service(cloud: Cloud) -> None:
    for name in SERVICES:
        assert httpx.get(cloud.settings.url(name, "/openapi.json"), **HTTP).status_code == 401


TABLES = {
    "compute": api.compute.policy.RULES,
    "placement": api.placement.policy.RULES,
    "network": api.network.policy.DEFAULTS,
    "volume": api.volume.policy.RULES,
}
READS = re.compile(
    r".*(:|^)(index|show|list|detail|defaults|get|get_all|get_\w+|show:.+|limits|extensions|flavors|usages|os-floating-ip-pools)"
    r"|network_owner|(is_)?shared\w*|.*_owner|get_.*|.*accessible.*"
)
OWN_OF_THE_USER = {f"os_compute_api:os-keypairs:{verb}" for verb in ("create", "delete")}


@pytest.mark.parametrize("service_name", SERVICES)
def test_no_table_lets_a_reader_write(service_name: str, tmp_path: Path) -> None:
    """Over every rule of the service's table, on the reader's own project's things."""
    rules = TABLES[service_name]
    policy = Policy(service_name, rules, tmp_path)
    facts = TokenFacts(user_id="u", project_id="p", roles=["reader"])
    target = {"project_id": "p", "user_id": "u", "network:project_id": "p", "tenant_id": "p", "ext_parent": "p"}
    passed = {rule for rule in rules if policy.allows(Context("", facts, ""), rule, target)}
    assert {rule for rule in passed if not READS.fullmatch(rule)} - OWN_OF_THE_USER - set(COMMON) == set()
