"""What a compute host's credential reads: what it can name, as its steps do, and no list of what is there."""

import pytest

from infra import credentials
from tests.network.conftest import Api, Cloud

SERVER = "6f1d2a10-0000-4000-8000-00000000beef"
KINDS = ("ports", "networks", "subnets", "routers", "security-groups", "security-group-rules", "subnetpools", "trunks")


@pytest.fixture(scope="module")
def host(cloud: Cloud) -> Api:
    name = credentials.host_user("node1")
    return cloud.login(name, credentials.load(cloud.settings.state_dir)[name], "service")


@pytest.mark.parametrize("kind", KINDS)
def test_a_host_lists_nothing_of_a_project(host: Api, admin: Api, demo: Api, kind: str) -> None:
    network = demo.network()
    demo.subnet(network)
    port = demo.port(network)
    demo.post("/routers", "router", name="r")
    demo.post("/subnetpools", "subnetpool", name="p", prefixes=["10.9.0.0/16"])
    demo.post("/trunks", "trunk", port_id=port["id"])
    member = kind.replace("-", "_")
    assert demo.project_id in {one["project_id"] for one in admin.get(f"/{kind}")[member]}
    for query in ({}, {"project_id": demo.project_id}, {"device_id": "", "network_id": ""}):
        asked = {name: value for name, value in query.items() if name == "project_id" or kind == "ports"}
        shown = host.get(f"/{kind}", **asked)[member]
        assert demo.project_id not in {one["project_id"] for one in shown}, asked


def test_a_host_reads_what_its_steps_name(host: Api, service: Api, demo: Api) -> None:
    network = demo.network()
    subnet, port = demo.subnet(network), demo.port(network, device_id=SERVER)
    ids = [port["id"]]
    assert [one["id"] for one in host.get("/ports", device_id=SERVER)["ports"]] == ids
    assert [one["id"] for one in host.get("/ports", device_id=SERVER, name=port["name"])["ports"]] == ids
    assert [one["id"] for one in host.get("/subnets", network_id=network["id"])["subnets"]] == [subnet["id"]]
    assert host.get(f"/ports/{port['id']}")["port"]["id"] == port["id"]
    assert host.get(f"/networks/{network['id']}")["network"]["id"] == network["id"]
    assert host.get("/ports", network_id=network["id"])["ports"] == [], "a network is not a guest's port"
    assert service.get("/ports", network_id=network["id"])["ports"], "services that are no hosts list"


def test_a_host_reads_no_quota_of_a_project(host: Api, demo: Api) -> None:
    assert host.get(f"/quotas/{demo.project_id}", 403)
    assert demo.get(f"/quotas/{demo.project_id}")["quota"]["port"]
