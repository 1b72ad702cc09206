"""Flavors, their extra specs and access lists."""

import uuid
from typing import Any

import pytest

from tests.compute.conftest import Api


def new(**values: Any) -> dict[str, Any]:
    return {"flavor": {"name": f"f-{uuid.uuid4().hex[:8]}", "ram": 64, "vcpus": 1, "disk": 1, **values}}


@pytest.fixture
def private(admin: Api) -> str:
    made = admin.post("/flavors", new(**{"os-flavor-access:is_public": False}))
    return str(made["flavor"]["id"])


def test_create_show_delete(admin: Api, demo: Api) -> None:
    wish = new(id="0", description="small", swap=5, **{"OS-FLV-EXT-DATA:ephemeral": 2})
    made = admin.post("/flavors", wish)["flavor"]
    assert made == demo.get("/flavors/0")["flavor"]
    assert (made["id"], made["description"], made["extra_specs"]) == ("0", "small", {})
    assert (made["swap"], made["OS-FLV-EXT-DATA:ephemeral"]) == (5, 2)
    assert admin.get("/flavors/0", version="2.101")["flavor"]["rxtx_factor"] == 1.0
    assert admin.refused("POST", "/flavors", 409, json=wish) == "Flavor with ID 0 already exists."
    same = new(name=wish["flavor"]["name"])
    message = admin.refused("POST", "/flavors", 409, json=same)
    assert message == f"Flavor with name {same['flavor']['name']} already exists."
    admin.delete("/flavors/0", 202)
    assert demo.refused("GET", "/flavors/0", 404) == "Flavor 0 could not be found."
    admin.refused("DELETE", "/flavors/0", 404)


def test_versions(admin: Api) -> None:
    flavor = admin.post("/flavors", new())["flavor"]["id"]
    assert "extra_specs" not in admin.get(f"/flavors/{flavor}", version="2.60")["flavor"]
    assert "description" not in admin.get(f"/flavors/{flavor}", version="2.54")["flavor"]
    assert admin.get(f"/flavors/{flavor}", version="2.74")["flavor"]["swap"] == ""
    assert admin.get(f"/flavors/{flavor}", version="2.75")["flavor"]["swap"] == 0
    admin.refused("PUT", f"/flavors/{flavor}", 404, "2.54", json={"flavor": {"description": "x"}})
    assert admin.put(f"/flavors/{flavor}", {"flavor": {"description": "x"}})["flavor"]["description"] == "x"
    admin.refused("POST", "/flavors", 400, "2.54", json=new(description="x"))
    assert admin.post("/flavors", new(rxtx_factor=2), version="2.101")["flavor"]["rxtx_factor"] == 2
    admin.refused("POST", "/flavors", 400, "2.102", json=new(rxtx_factor=2))


def test_by_name_from_2_102(admin: Api) -> None:
    flavor = admin.post("/flavors", new())["flavor"]
    for pattern in (flavor["name"], f"^{flavor['name'][:-1]}.$"):
        assert [each["id"] for each in admin.get("/flavors", name=pattern)["flavors"]] == [flavor["id"]]
    assert admin.get("/flavors", name="no such name")["flavors"] == []
    admin.refused("GET", "/flavors", 400, "2.101", params={"name": "x"})
    admin.refused("GET", "/flavors", 400, params={"name": "("})
    admin.refused("GET", "/flavors", 400, params={"sort_key": "rxtx_factor"})
    assert admin.get("/flavors", version="2.101", sort_key="rxtx_factor")["flavors"]


@pytest.mark.parametrize(
    "values",
    [
        {"ram": 0},
        {"ram": "x"},
        {"ram": True},
        {"vcpus": -1},
        {"disk": -1},
        {"disk": 2**31},
        {"rxtx_factor": 0},
        {"id": " x"},
        {"id": "a/b"},
        {"name": ""},
        {"more": 1},
    ],
)
def test_bad_flavors(admin: Api, values: dict[str, Any]) -> None:
    assert "Invalid input for field/attribute flavor" in admin.refused("POST", "/flavors", 400, json=new(**values))


def test_numbers_as_text(admin: Api) -> None:
    assert admin.post("/flavors", new(ram="128", id=None))["flavor"]["ram"] == 128


def test_only_admins_change(demo: Api, tiny: Any) -> None:
    demo.refused("POST", "/flavors", 403, json=new())
    demo.refused("DELETE", "/flavors/tiny", 403)
    demo.refused("POST", "/flavors/tiny/os-extra_specs", 403, json={"extra_specs": {"a": "b"}})
    demo.refused("POST", "/flavors/tiny/action", 403, json={"addTenantAccess": {"tenant": "x"}})


def test_list(admin: Api, demo: Api, private: str) -> None:
    big = admin.post("/flavors", new(ram=999_999))["flavor"]["id"]
    ids = {flavor["id"] for flavor in demo.get("/flavors/detail", is_public="None")["flavors"]}
    assert big in ids and private not in ids
    assert private in {flavor["id"] for flavor in admin.get("/flavors", is_public="None")["flavors"]}
    assert private in {flavor["id"] for flavor in admin.get("/flavors", is_public="false")["flavors"]}
    assert private not in {flavor["id"] for flavor in admin.get("/flavors")["flavors"]}
    assert [flavor["id"] for flavor in demo.get("/flavors", minRam=999_000)["flavors"]] == [big]
    rams = [f["ram"] for f in demo.get("/flavors/detail", sort_key="memory_mb", sort_dir="desc")["flavors"]]
    assert rams == sorted(rams, reverse=True)
    page = demo.get("/flavors", limit=1)
    assert f"marker={page['flavors'][0]['id']}" in page["flavors_links"][0]["href"]
    for query in ({"minRam": "x"}, {"marker": "none"}, {"sort_key": "x"}, {"nonsense": "1"}):
        demo.refused("GET", "/flavors", 400, params=query)
    admin.refused("GET", "/flavors", 400, params={"is_public": "perhaps"})


def test_access(admin: Api, demo: Api, private: str) -> None:
    path = f"/flavors/{private}"
    demo.refused("GET", path, 404)
    grant = {"addTenantAccess": {"tenant": demo.project_id}}
    granted = [{"flavor_id": private, "tenant_id": demo.project_id}]
    assert admin.post(f"{path}/action", grant) == {"flavor_access": granted}
    assert demo.get(path)["flavor"]["id"] == private
    assert admin.get(f"{path}/os-flavor-access")["flavor_access"] == granted
    admin.refused("POST", f"{path}/action", 409, json=grant)
    revoke = {"removeTenantAccess": {"tenant": demo.project_id}}
    assert admin.post(f"{path}/action", revoke) == {"flavor_access": []}
    admin.refused("POST", f"{path}/action", 404, json=revoke)
    admin.refused("POST", "/flavors/tiny/action", 409, json=grant)
    admin.refused("GET", "/flavors/tiny/os-flavor-access", 404)


def test_extra_specs(admin: Api, demo: Api) -> None:
    path = f"/flavors/{admin.post('/flavors', new())['flavor']['id']}/os-extra_specs"
    assert admin.post(path, {"extra_specs": {"a:a": "1", "b": 2}}) == {"extra_specs": {"a:a": "1", "b": "2"}}
    assert admin.put(f"{path}/b", {"b": "3"}) == demo.get(f"{path}/b") == {"b": "3"}
    admin.refused("PUT", f"{path}/b", 400, json={"c": "3"})
    admin.refused("POST", path, 400, json={"extra_specs": {"a/b": "1"}})
    admin.delete(f"{path}/b", 200)
    admin.refused("DELETE", f"{path}/b", 404)
    demo.refused("GET", f"{path}/b", 404)
    assert demo.get(path) == {"extra_specs": {"a:a": "1"}}


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("hw:cpu_policy", "dedicated", True),  # Nova knows it; a server with it is refused
        ("hw:cpu_policy", "sometimes", False),
        ("hw:cpu_colour", "red", False),
        ("hw:numa_mem.1", "512", True),
        ("trait:HW_CPU_X86_AVX2", "required", True),
        ("trait:HW_CPU_X86_AVX2", "perhaps", False),
        ("resources:VCPU", "2", True),
        ("resources1:CUSTOM_X", "two", False),
        ("resources1:VGPU", "1", True),
        ("quota:disk_read_iops_sec", "many", False),
        ("mine:anything", "goes", True),
        ("anything", "goes", True),
    ],
)
def test_extra_specs_are_checked_from_2_86(admin: Api, name: str, value: str, good: bool) -> None:
    path = f"/flavors/{admin.post('/flavors', new())['flavor']['id']}/os-extra_specs"
    admin.post(path, {"extra_specs": {name: value}}, version="2.85")
    if good:
        admin.put(f"{path}/{name}", {name: value}, version="2.86")
    else:
        assert "Validation failed" in admin.refused("POST", path, 400, "2.86", json={"extra_specs": {name: value}})
        assert "Validation failed" in admin.refused("PUT", f"{path}/{name}", 400, json={name: value})
