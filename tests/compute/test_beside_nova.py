"""What `python -m tests.peer` found different between a real Nova's answers and ours, each kind as it is now."""

from typing import Any

import httpx
import pytest

from tests.compute.conftest import HTTP, Api, Cloud

NEVER = "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize(
    ("query", "version", "words"),
    [
        ({"sort_key": "name"}, "2.1", "query parameters sort_key"),
        ({"sort_key": ""}, "2.1", "query parameters sort_key"),
        ({"sort_key": "memory_mb"}, "2.75", "query parameters sort_key"),
        ({"sort_key": "node"}, "2.1", "Only administrators can sort servers by node"),
        ({"sort_dir": "up"}, "2.1", "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'"),
        ({"ip6": "["}, "2.1", "query parameters ip6. It is not a 'regex'"),
        ({"name": "(" * 1000}, "2.1", "query parameters name. It is not a 'regex'"),
        ({"key_name": ""}, "2.1", "query parameters key_name. It is not a 'regex'"),
        ({"tags": ""}, "2.26", "query parameters tags. It is not a 'regex'"),
        ({"limit": "x"}, "2.1", "query parameters limit. It does not match '^[0-9]*$'"),
        ({"changes-since": "x"}, "2.1", "query parameters changes-since. It is not a 'date-time'"),
        (
            {"all_tenants": "x"},
            "2.1",
            "Unrecognized value 'x', acceptable values are: '0', '1', 'f', 'false', 'n', 'no'",
        ),
    ],
)
def test_a_list_of_servers_is_refused_as_by_nova(demo: Api, query: dict[str, str], version: str, words: str) -> None:
    status = 403 if "Only" in words else 400
    assert words in demo.refused("GET", "/servers", status, version, params=query)


def test_a_list_of_servers_passes_over_what_nova_does(cloud: Cloud, admin: Api, fresh: Api) -> None:
    cloud.server(fresh)
    for query, version in (
        ({"sort_key": "memory_mb"}, "2.74"),
        ({"marker": ""}, "2.104"),
        ({"metadata": "x"}, "2.104"),
        ({"_x": "x"}, "2.104"),
        ({"tags": ""}, "2.25"),
    ):
        assert len(fresh.get("/servers", version=version, **query)["servers"]) == 1, query
    mine = {"all_tenants": "1", "project_id": fresh.project_id}
    for query in ({"changes-before": "x"}, {"locked": "x"}, {"soft_deleted": "x"}):
        assert len(admin.get("/servers", version="2.1", **mine, **query)["servers"]) == 1, query
    admin.refused("GET", "/servers", 400, params={"metadata": "x"})
    for query in ({"power_state": "x"}, {"progress": "x"}, {"created_at": "x"}, {"config_drive": "x"}):
        assert fresh.get("/servers", **query)["servers"] == []


NULLS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/servers", {"server": {"name": "x", "flavorRef": "tiny", "networks": "none", "config_drive": None}}),
    ("POST", "/servers", {"server": {"name": "x", "flavorRef": "tiny", "networks": "none", "security_groups": None}}),
    ("POST", "/servers", {"server": {"name": "x", "flavorRef": "tiny", "networks": [{"uuid": NEVER, "tag": None}]}}),
    ("PUT", f"/servers/{NEVER}", {"server": {"accessIPv4": None}}),
    ("POST", "/os-server-groups", {"server_group": {"name": "x", "policy": None}}),
    ("PUT", "/os-quota-sets/{project}", {"quota_set": {"cores": None}}),
    ("POST", "/os-keypairs", {"keypair": {"name": "x", "public_key": None}}),
]


@pytest.mark.parametrize(("method", "path", "body"), NULLS)
def test_null_is_no_value_where_nova_has_none(admin: Api, method: str, path: str, body: dict[str, Any]) -> None:
    words = admin.refused(method, path.format(project=admin.project_id), 400, json=body)
    assert "None is not of a type that it may have" in words


def test_a_config_drive_is_wanted_or_not(admin: Api) -> None:
    server = {"name": "x", "flavorRef": "tiny", "networks": "none", "config_drive": ""}
    assert "config_drive" in admin.refused("POST", "/servers", 400, json={"server": server})


def test_a_boolean_is_no_factor(admin: Api) -> None:
    flavor = {"name": "x", "ram": 1, "vcpus": 1, "disk": 1, "rxtx_factor": True}
    assert "rxtx_factor" in admin.refused("POST", "/flavors", 400, version="2.1", json={"flavor": flavor})


@pytest.mark.parametrize("name", ["accessIPv4", "accessIPv6"])
def test_an_address_of_access_is_one(admin: Api, name: str) -> None:
    """Nova knows no way to take one back either."""
    server = {"name": "x", "flavorRef": "tiny", "networks": "none", name: ""}
    assert name in admin.refused("POST", "/servers", 400, json={"server": server})
    assert name in admin.refused("PUT", f"/servers/{NEVER}", 400, json={"server": {name: ""}})


def test_hints_that_are_null(demo: Api) -> None:
    server = {"name": "x", "flavorRef": "tiny", "networks": "none"}
    for hints in (None, {"group": None}, {"same_host": None}):
        demo.refused("POST", "/servers", 400, json={"server": server, "os:scheduler_hints": hints})


def test_words_of_a_schema(demo: Api) -> None:
    def words(**about: Any) -> str:
        return demo.refused("POST", "/servers", 400, json={"server": about})

    assert demo.refused("POST", "/servers", 400, json={}) == "'server' is a required property"
    assert words(name=5) == "Invalid input for field/attribute server/name. It is not of type 'string'"
    assert words() == "Invalid input for field/attribute server. 'name' is a required property"
    assert words(name="x" * 256).endswith("server/name. It is too long")
    nested = words(name="x", flavorRef="tiny", block_device_mapping_v2=[{"source_type": "x"}])
    assert nested.endswith("source_type. It is not one of ['volume', 'image', 'snapshot', 'blank']")


def test_the_list_of_versions_is_there_whatever_is_asked_for(cloud: Cloud) -> None:
    for version in ("compute 2.200", "compute x", "compute 2.0"):
        answer = httpx.get(cloud.settings.url("compute", "/"), headers={"OpenStack-API-Version": version}, **HTTP)
        assert answer.status_code == 200 and len(answer.json()["versions"]) == 2
    for path in ("/", "/v2.1", "/v2.1/"):
        assert httpx.head(cloud.settings.url("compute", path), **HTTP).status_code == 200


def test_a_port_that_is_not_there(cloud: Cloud, demo: Api) -> None:
    server = cloud.server(demo, host="node1")
    words = demo.refused("GET", f"/servers/{server}/os-interface/{NEVER}", 404)
    assert words == f"Port id {NEVER} could not be found."


@pytest.mark.parametrize(
    ("path", "version", "words"),
    [
        ("/limits?reserved=1", "2.75", "'reserved' was unexpected"),
        ("/os-hypervisors?nonsense=1", "2.53", "'nonsense' was unexpected"),
        ("/os-hypervisors/x?nonsense=1", "2.53", "'nonsense' was unexpected"),
        ("/os-keypairs?marker=none", "2.35", "Marker none could not be found."),
        ("/flavors?marker=none", "2.1", "marker [none] not found"),
        ("/os-aggregates/x", "2.1", "Invalid input received: id must be an integer"),
        ("/os-simple-tenant-usage?start=x", "2.1", "Invalid datetime string: Datetime is in invalid format"),
        ("/os-quota-sets/no_project/defaults", "2.1", "Project ID no_project is not a valid project."),
    ],
)
def test_what_nova_refuses(admin: Api, path: str, version: str, words: str) -> None:
    assert words in admin.refused("GET", path, 400, version)


def test_numbers_that_no_aggregate_and_no_service_has(admin: Api) -> None:
    assert "could not be found" in admin.refused("GET", "/os-aggregates/-1", 404)
    assert "could not be found" in admin.refused("DELETE", "/os-services/-1", 404, "2.52")


def test_what_nova_lets_pass(admin: Api) -> None:
    assert admin.get("/limits", version="2.74", reserved="1")["limits"]
    assert "hypervisors" in admin.get("/os-hypervisors", version="2.52", nonsense="1")
    assert "flavors" in admin.get("/flavors", minDisk="-1")


def test_access_is_given_to_projects_that_there_are(admin: Api) -> None:
    body = {"addTenantAccess": {"tenant": "nosuchproject"}}
    assert "is not a valid project" in admin.refused("POST", "/flavors/tiny/action", 400, json=body)


def test_an_action_on_a_flavor_is_one(admin: Api) -> None:
    for body in ({}, {"addTenantAccess": {"tenant": "x"}, "removeTenantAccess": {"tenant": "x"}}):
        assert admin.refused("POST", "/flavors/tiny/action", 400, json=body) == "Malformed request body"


def test_null_for_a_service(cloud: Cloud, admin: Api) -> None:
    service = cloud.host("beside-host")
    admin.refused("PUT", f"/os-services/{service}", 400, json={"status": None, "forced_down": False})
