import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.network.conftest import Api

PATH = "/kilonova/topology"


@pytest.fixture
def host() -> str:
    return f"host-{uuid.uuid4().hex[:8]}"


def poll(api: Api, host: str, etag: str = "") -> httpx.Response:
    return api.http.get(PATH, params={"host": host}, headers={"If-None-Match": etag} if etag else {})


def test_one_answer_has_all_of_a_host(service: Api, demo: Api, other: Api, host: str) -> None:
    network = demo.network()
    subnet = demo.subnet(network)
    group = demo.default_group()["id"]
    ssh = {"security_group_id": group, "direction": "ingress", "protocol": "6", "remote_ip_prefix": "10.9.1.1/16"}
    demo.post("/security-group-rules", "security_group_rule", **ssh, port_range_min=22, port_range_max=22)
    here = demo.port(network, device_id="vm", allowed_address_pairs=[{"ip_address": "10.77.0.0/24"}])
    there, bare = demo.port(network), demo.port(network, port_security_enabled=False)
    for port, place in ((here, host), (there, "elsewhere"), (bare, host)):
        service.put(f"/ports/{port['id']}", "port", **{"binding:host_id": place})
    other.port(other.network())
    body = poll(service, host).json()
    ports = {port["id"]: port for port in body["ports"]}
    assert ports.keys() == {here["id"], bare["id"]}
    assert ports[bare["id"]]["port_security_enabled"] is False and ports[bare["id"]]["rules"] == []
    mine = ports[here["id"]]
    assert mine["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": here["fixed_ips"][0]["ip_address"]}]
    for name in ("mac_address", "network_id", "device_id", "allowed_address_pairs"):
        assert mine[name] == here[name]
    members = f"group:{group}"
    anything = {"protocol": None, "port_range_min": None, "port_range_max": None}
    expected: list[dict[str, Any]] = [
        {"direction": "egress", "ethertype": "IPv4", **anything, "remote_ips": None, "remote_set": None},
        {"direction": "egress", "ethertype": "IPv6", **anything, "remote_ips": None, "remote_set": None},
        {"direction": "ingress", "ethertype": "IPv4", **anything, "remote_ips": None, "remote_set": members},
        {"direction": "ingress", "ethertype": "IPv6", **anything, "remote_ips": None, "remote_set": members},
        {
            "direction": "ingress",
            "ethertype": "IPv4",
            "protocol": "tcp",
            "port_range_min": 22,
            "port_range_max": 22,
            "remote_ips": ["10.9.0.0/16"],
            "remote_set": None,
        },
    ]
    addresses = [f"{one['fixed_ips'][0]['ip_address']}/32" for one in (here, there)]
    assert body["sets"] == {members: sorted([*addresses, "10.77.0.0/24"])}
    assert sorted(mine["rules"], key=str) == sorted(expected, key=str)


def test_nothing_new_is_304_and_every_change_that_matters_is_not(
    service: Api, demo: Api, host: str, provider: Callable[..., Any]
) -> None:
    port = service.port(provider(), project_id=demo.project_id, **{"binding:host_id": host})
    path, group = f"/ports/{port['id']}", demo.default_group()["id"]
    etag = poll(service, host).headers["etag"]
    quiet = poll(service, host, etag)
    assert quiet.status_code == 304 and quiet.content == b"" and quiet.headers["etag"] == etag
    service.put(path, "port", status="ACTIVE", name="new")
    demo.put(f"/security-groups/{group}", "security_group", description="words")
    assert poll(service, host, f'"x", {etag}').status_code == 304, "status, names and words filter nothing"
    made: list[dict[str, Any]] = []

    def add_rule() -> None:
        body = {"security_group_id": group, "direction": "ingress", "protocol": "icmp"}
        made.append(demo.post("/security-group-rules", "security_group_rule", **body))

    changes: list[Callable[[], Any]] = [
        add_rule,
        lambda: demo.delete(f"/security-group-rules/{made[0]['id']}"),
        lambda: demo.port(demo.network()),
        lambda: demo.put(path, "port", security_groups=[]),
        lambda: demo.put(path, "port", admin_state_up=False),
        lambda: service.put(path, "port", **{"binding:host_id": ""}),
        lambda: demo.delete(path),
    ]
    for number, change in enumerate(changes):
        change()
        answer = poll(service, host, etag)
        assert answer.status_code == 200, f"change {number} went unseen"
        assert answer.headers["etag"] != etag
        etag = answer.headers["etag"]
    assert answer.json()["ports"] == []


def test_only_services_ask(admin: Api, demo: Api, host: str) -> None:
    assert poll(admin, host).status_code == 200
    assert poll(demo, host).json()["NeutronError"]["type"] == "PolicyNotAuthorized"
    assert admin.http.get(PATH).status_code == 400
