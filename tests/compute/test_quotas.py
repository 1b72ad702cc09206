"""Quota sets, limits and usage."""

from datetime import timedelta

from infra.tables.compute import now
from tests.compute.conftest import Api, Cloud


def test_defaults_and_overrides(admin: Api, fresh: Api) -> None:
    path = f"/os-quota-sets/{fresh.project_id}"
    shown = fresh.get(path)["quota_set"]
    assert shown == fresh.get(f"{path}/defaults")["quota_set"]
    assert (shown["id"], shown["instances"], shown["cores"], shown["ram"]) == (fresh.project_id, 10, 20, 51200)
    assert "injected_files" not in shown and "floating_ips" not in shown
    assert "injected_files" in fresh.get(path, version="2.56")["quota_set"]
    assert "floating_ips" in fresh.get(path, version="2.35")["quota_set"]
    fresh.refused("PUT", path, 403, json={"quota_set": {"instances": 100}})
    changed = admin.put(path, {"quota_set": {"instances": 3, "cores": "-1"}})["quota_set"]
    assert (changed["instances"], changed["cores"], "id" in changed) == (3, -1, False)
    assert fresh.get(path)["quota_set"]["instances"] == 3
    admin.delete(path, 202)
    assert fresh.get(path)["quota_set"]["instances"] == 10


def test_defaults_of_all_projects(admin: Api, fresh: Api) -> None:
    path, mine = "/os-quota-class-sets/default", f"/os-quota-sets/{fresh.project_id}"
    before = admin.get(path)["quota_class_set"]
    assert before["id"] == "default" and "fixed_ips" not in before
    assert "fixed_ips" in admin.get(path, version="2.49")["quota_class_set"]
    admin.put(mine, {"quota_set": {"cores": 7}})
    try:
        changed = admin.put(path, {"quota_class_set": {"key_pairs": 33, "cores": 8}})["quota_class_set"]
        assert {"id": "default"} | changed == before | {"key_pairs": 33, "cores": 8}
        shown = fresh.get(mine)["quota_set"]
        assert (shown["key_pairs"], shown["cores"]) == (33, 7), "what was set for a project stays"
        assert fresh.get(f"{mine}/defaults")["quota_set"]["cores"] == 8
        assert fresh.get("/limits")["limits"]["absolute"]["maxTotalKeypairs"] == 33
    finally:
        admin.put(path, {"quota_class_set": {"key_pairs": before["key_pairs"], "cores": before["cores"]}})
    fresh.refused("GET", path, 403)
    fresh.refused("PUT", path, 403, json={"quota_class_set": {}})
    words = admin.refused("PUT", "/os-quota-class-sets/gold", 501, json={"quota_class_set": {"cores": 1}})
    assert words == "No quota class but 'default' is used."
    for body in ({"pears": 1}, {"cores": -2}, {"fixed_ips": 1}):
        admin.refused("PUT", path, 400, json={"quota_class_set": body})


def test_bad_quotas(admin: Api, other: Api, fresh: Api) -> None:
    path = f"/os-quota-sets/{fresh.project_id}"
    for body in ({"instances": -2}, {"instances": "x"}, {"pears": 1}, {"floating_ips": 1}, {"instances": True}):
        admin.refused("PUT", path, 400, json={"quota_set": body})
    message = admin.refused("PUT", "/os-quota-sets/unknown", 400, json={"quota_set": {"instances": 1}})
    assert message == "Project ID unknown is not a valid project."
    other.refused("GET", path, 403)


def test_usage_of_quota(cloud: Cloud, admin: Api, fresh: Api) -> None:
    path = f"/os-quota-sets/{fresh.project_id}"
    for n in range(2):
        cloud.server(fresh, vcpus=3, memory_mb=100 + n)
    assert fresh.get(f"{path}/detail")["quota_set"]["cores"] == {"limit": 20, "in_use": 6, "reserved": 0}
    message = admin.refused("PUT", path, 400, json={"quota_set": {"instances": 1}})
    assert message.startswith("Quota limit 1 for instances must be greater than or equal to already used")
    admin.put(path, {"quota_set": {"instances": 1, "force": True}})
    limits = fresh.get("/limits")["limits"]
    assert limits["rate"] == []
    absolute = limits["absolute"]
    assert (absolute["maxTotalInstances"], absolute["totalInstancesUsed"]) == (1, 2)
    assert (absolute["totalRAMUsed"], absolute["maxTotalRAMSize"]) == (201, 51200)
    assert (
        "maxImageMeta" not in absolute and "maxImageMeta" in fresh.get("/limits", version="2.38")["limits"]["absolute"]
    )
    assert admin.get("/limits", tenant_id=fresh.project_id)["limits"]["absolute"]["totalCoresUsed"] == 6
    fresh.refused("GET", "/limits", 403, params={"tenant_id": admin.project_id})


def test_tenant_usage(cloud: Cloud, admin: Api, fresh: Api) -> None:
    moment = now()
    cloud.server(fresh, vcpus=2, launched_at=moment - timedelta(hours=10), deleted_at=moment - timedelta(hours=4))
    cloud.server(fresh, vcpus=1, launched_at=moment - timedelta(hours=1))
    cloud.server(fresh, launched_at=None, vm_state="error")
    period = {"start": (moment - timedelta(hours=5)).isoformat(), "end": moment.isoformat()}
    path = f"/os-simple-tenant-usage/{fresh.project_id}"
    usage = fresh.get(path, **period)["tenant_usage"]
    assert round(usage["total_hours"], 2) == 2.0
    assert round(usage["total_vcpus_usage"], 2) == 3.0
    assert sorted(server["state"] for server in usage["server_usages"]) == ["active", "terminated"]
    every = admin.get("/os-simple-tenant-usage", **period)["tenant_usages"]
    mine = next(each for each in every if each["tenant_id"] == fresh.project_id)
    assert "server_usages" not in mine
    fresh.refused("GET", "/os-simple-tenant-usage", 403)
    fresh.refused("GET", path, 400, params={"start": "2030-01-01T00:00:00", "end": "2029-01-01T00:00:00"})
    fresh.refused("GET", path, 400, params={"start": "x"})
    assert fresh.get(path, start="2020-01-01", end="2020-01-02")["tenant_usage"] == {}


def test_relics(demo: Api) -> None:
    assert demo.get("/extensions/os-keypairs")["extension"]["name"] == "Keypairs"
    assert "ImageSize" in [each["name"] for each in demo.get("/extensions")["extensions"]]
    assert demo.post("/os-assisted-volume-snapshots", {}, 501)["notImplemented"]["code"] == 501
    demo.refused("GET", "/os-volumes", 501, "2.35")
    demo.refused("GET", "/os-volumes", 404, "2.36")
    demo.refused("GET", "/os-networks", 404, "2.36")
