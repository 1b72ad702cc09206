"""What operators see: services, hosts, pools, capabilities; and the documentation's table of routes."""

import re
from pathlib import Path

from fastapi.routing import APIRoute

from api.volume import support
from api.volume.app import MODULES
from tests.volume.cloud import Cloud
from tests.volume.routes import ROUTES


def test_services_and_hosts(cloud: Cloud) -> None:
    (old,) = cloud.ok("GET", "/os-services", user="admin", version="3.6")["services"]
    (new,) = cloud.ok("GET", "/os-services?binary=cinder-volume", user="admin")["services"]
    assert "cluster" not in old and new["cluster"] is None and new["backend_state"] == "up"
    assert cloud.ok("GET", "/os-services?host=elsewhere", user="admin")["services"] == []
    (host,) = cloud.ok("GET", "/os-hosts", user="admin")["hosts"]
    assert (host["host_name"], host["service-status"]) == ("store1@nbd", "available")
    volume = cloud.volume(size=2)
    total, *projects = cloud.ok("GET", "/os-hosts/store1@nbd", user="admin")["host"]
    assert total["resource"]["project"] == "(total)" and int(total["resource"]["total_volume_gb"]) >= 2
    assert sum(int(p["resource"]["volume_count"]) for p in projects) == int(total["resource"]["volume_count"])
    assert cloud.call("GET", "/os-hosts/elsewhere", user="admin").status_code == 404
    for path in ("/os-services", "/os-hosts", "/scheduler-stats/get_pools", "/capabilities/store1@nbd"):
        assert cloud.call("GET", path).status_code == 403, path
    cloud.delete(volume)


def test_pools_and_capabilities(cloud: Cloud) -> None:
    assert cloud.ok("GET", "/scheduler-stats/get_pools", user="admin") == {"pools": [{"name": "store1@nbd#nbd"}]}
    (pool,) = cloud.ok("GET", "/scheduler-stats/get_pools?detail=true", user="admin")["pools"]
    assert pool["capabilities"]["free_capacity_gb"] > 0 and pool["capabilities"]["multiattach"] is True
    told = cloud.ok("GET", "/capabilities/store1@nbd", user="admin")
    assert told["volume_backend_name"] == "nbd" and told["properties"] == {}
    assert cloud.call("GET", "/capabilities/elsewhere", user="admin").status_code == 404


def test_the_table_of_routes_is_up_to_date() -> None:
    """`python -m api.volume.support > docs/api-support-volume.md` writes it."""
    page = Path(__file__).parents[2] / "docs" / "api-support-volume.md"
    assert page.read_text() == support.table()


def test_every_built_route_has_its_schema() -> None:
    """The contract knows each route of ours, so that none is answered unchecked."""
    known = {(route.method, _plain(route.path)) for route in ROUTES} | {("POST", "/volumes/{}/action")}
    refused = {"refuse", "change"}  # they answer 501; a type's `change` is in the contract like any other
    missing = []
    for module in MODULES:
        for route in module.router.routes:
            assert isinstance(route, APIRoute), "a nested router would hide its routes from these checks"
            if route.endpoint.__name__ in refused and route.endpoint.__qualname__ != "change":
                continue
            for method in route.methods - {"HEAD"}:
                if (method, _plain(route.path)) not in known and not _only_refuses(route.path):
                    missing.append((method, route.path))
    assert missing == []


def _plain(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


def _only_refuses(path: str) -> bool:
    """One of what never exists: always 404."""
    never = ("backups", "consistencygroups", "cgsnapshots", "groups", "group_snapshots", "group_types")
    parts = path.strip("/").split("/")
    return parts[0] in (*never, "qos-specs", "clusters") or path == "/types/{type_id}/encryption/{key}"
