from typing import Any

import pytest

from tests.network.conftest import Api


def names(body: dict[str, Any], collection: str = "networks") -> list[str]:
    return [one["name"] for one in body[collection]]


@pytest.fixture
def some(demo: Api) -> list[dict[str, Any]]:
    return [demo.network(name=f"n{number}", mtu=1400 + number % 2) for number in range(5)]


def test_filters(demo: Api, some: list[dict[str, Any]]) -> None:
    mine = {"project_id": demo.project_id}
    assert sorted(names(demo.get("/networks", name=["n1", "n3"], **mine))) == ["n1", "n3"]
    assert names(demo.get("/networks", mtu="1401", name="n1", **mine)) == ["n1"]
    assert names(demo.get("/networks", id=[some[0]["id"], "nothing"])) == ["n0"]
    assert names(demo.get("/networks", tenant_id=demo.project_id, shared="True")) == []
    assert len(names(demo.get("/networks", tenant_id=demo.project_id, shared="false", status="ACTIVE"))) == 5
    assert names(demo.get("/networks", name="", **mine)) == []
    demo.put(f"/networks/{some[2]['id']}", "network", name="")
    assert names(demo.get("/networks", name="", **mine)) == [""]


def test_fields(demo: Api, some: list[dict[str, Any]]) -> None:
    body = demo.get("/networks", fields=["id", "name"], id=some[0]["id"])
    assert body == {"networks": [{"id": some[0]["id"], "name": "n0"}]}
    assert demo.get(f"/networks/{some[0]['id']}", fields="name") == {"network": {"name": "n0"}}
    wanted = ["id", "name", "description", "project_id", "tags", "shared"]
    (group,) = demo.get("/security-groups", fields=wanted)["security_groups"]
    assert group.keys() == set(wanted)


def test_sorting(demo: Api, some: list[dict[str, Any]]) -> None:
    mine = {"project_id": demo.project_id}
    assert names(demo.get("/networks", sort_key="name", sort_dir="desc", **mine)) == ["n4", "n3", "n2", "n1", "n0"]
    both = demo.get("/networks", sort_key=["mtu", "name"], sort_dir=["desc", "asc"], **mine)
    assert names(both) == ["n1", "n3", "n0", "n2", "n4"]


def test_pages_and_their_links(demo: Api, some: list[dict[str, Any]]) -> None:
    query: dict[str, Any] = {"project_id": demo.project_id, "sort_key": ["mtu", "name"], "sort_dir": ["desc", "asc"]}
    body = demo.get("/networks", limit=2, **query)
    assert names(body) == ["n1", "n3"] and [link["rel"] for link in body["networks_links"]] == ["next", "previous"]
    seen = names(body)
    while link := next((one for one in body["networks_links"] if one["rel"] == "next"), None):
        body = demo.http.get(link["href"]).json()
        seen += names(body)
    assert seen == ["n1", "n3", "n0", "n2", "n4"]
    previous = next(one for one in body["networks_links"] if one["rel"] == "previous")
    back = demo.http.get(previous["href"]).json()
    assert names(back) == ["n0", "n2"]
    assert {link["rel"] for link in back["networks_links"]} == {"next", "previous"}
    first = demo.http.get(next(one["href"] for one in back["networks_links"] if one["rel"] == "previous")).json()
    assert names(first) == ["n1", "n3"] and [link["rel"] for link in first["networks_links"]] == ["next", "previous"]
    before = demo.http.get(next(one["href"] for one in first["networks_links"] if one["rel"] == "previous")).json()
    assert names(before) == [] and [link["rel"] for link in before["networks_links"]] == ["next"]
    assert "marker" not in before["networks_links"][0]["href"]


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({"colour": "red"}, 400, "['colour'] is invalid attribute for filtering"),
        ({"provider:network_type": "flat"}, 400, "is invalid attribute for filtering"),
        ({"shared": "perhaps"}, 400, "cannot be converted to boolean"),
        ({"mtu": "x"}, 400, "not an integer"),
        ({"limit": "-1"}, 400, "Bad limit request: Limit must be an integer 0 or greater and not '-1'."),
        ({"marker": "nothing", "limit": 1}, 404, "could not be found"),
        ({"sort_key": "name"}, 400, "The number of sort_keys and sort_dirs must be same"),
        ({"sort_key": "colour", "sort_dir": "asc"}, 400, "['colour'] is invalid attribute for sort_keys"),
        ({"sort_key": "name", "sort_dir": "up"}, 400, "sort_dirs"),
        ({"sort_key": ["name", "id"], "sort_dir": "asc"}, 400, "must be same"),
    ],
)
def test_queries_that_make_no_sense(anyone: Api, query: dict[str, Any], status: int, words: str) -> None:
    assert words in anyone.get("/networks", status, **query)["NeutronError"]["message"]


def test_ports_by_address_group_device_and_host(admin: Api, demo: Api) -> None:
    network = demo.network()
    subnet = demo.subnet(network)
    one, two = demo.port(network, name="one", device_id="d1"), demo.port(network, name="two")
    mine = {"network_id": network["id"]}
    ip = one["fixed_ips"][0]["ip_address"]
    assert names(demo.get("/ports", fixed_ips=f"ip_address={ip}", **mine), "ports") == ["one"]
    both = [f"ip_address={ip}", f"subnet_id={subnet['id']}"]
    assert names(demo.get("/ports", fixed_ips=both, **mine), "ports") == ["one"]
    assert len(demo.get("/ports", fixed_ips="ip_address_substr=10.1.0", **mine)["ports"]) == 2
    assert names(demo.get("/ports", device_id="d1", **mine), "ports") == ["one"]
    assert len(demo.get("/ports", security_groups=demo.default_group()["id"], **mine)["ports"]) == 2
    assert names(demo.get("/ports", mac_address=two["mac_address"], **mine), "ports") == ["two"]
    assert len(admin.get("/ports", **{"binding:host_id": ""}, **mine)["ports"]) == 2
    demo.get("/ports", 400, **{"binding:host_id": "node1"})
    demo.get("/ports", 400, fixed_ips="colour=red")
