"""The volume API as its clients know it: versions, fields, errors, lists, quotas, and who may do what."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.volume.cloud import Cloud, until


@pytest.fixture
def volumes(cloud: Cloud) -> Iterator[list[str]]:
    """Three volumes of the demo project, oldest first."""
    made = [cloud.volume(name=f"list-{n}", size=n, metadata={"n": str(n)}) for n in (1, 2, 3)]
    yield made
    for volume in made:
        cloud.delete(volume)


def test_versions(cloud: Cloud) -> None:
    url = cloud.settings.url("volume")
    assert cloud.http.get(f"{url}/").status_code == 300
    found = cloud.http.get(f"{url}/v3/").json()["versions"][0]
    assert (found["min_version"], found["version"]) == ("3.0", "3.71")
    assert found["links"][0]["href"] == f"{url}/v3/"


@pytest.mark.parametrize(("asked", "status", "told"), [("3.27", 200, "3.27"), ("3.72", 406, None), ("x", 400, None)])
def test_microversion_is_echoed(cloud: Cloud, asked: str, status: int, told: str | None) -> None:
    answer = cloud.call("GET", "/volumes", version=asked)
    assert answer.status_code == status
    assert answer.headers.get("OpenStack-API-Version") == (f"volume {told}" if told else None)
    assert answer.headers["x-openstack-request-id"].startswith("req-")
    if told:
        assert "OpenStack-API-Version" in answer.headers["Vary"]


def test_fields_follow_the_microversion(cloud: Cloud) -> None:
    volume = cloud.volume()
    shown = {v: cloud.ok("GET", f"/volumes/{volume}", version=v)["volume"] for v in ("3.0", "3.13", "3.65")}
    assert "group_id" not in shown["3.0"] and "group_id" in shown["3.13"]
    assert "consumes_quota" not in shown["3.13"] and shown["3.65"]["consumes_quota"] is True
    assert "os-vol-host-attr:host" not in shown["3.65"]
    mine = cloud.ok("GET", f"/volumes/{volume}", user="admin")["volume"]
    assert mine["os-vol-host-attr:host"] == "store1@nbd#nbd"
    assert len(shown["3.0"]["created_at"]) == len("2018-01-22T06:05:17.000000")
    assert cloud.call("GET", "/attachments", version="3.26").status_code == 404
    cloud.delete(volume)


def test_life_of_a_volume(cloud: Cloud) -> None:
    body = {"volume": {"size": 2, "name": "v", "description": "d", "metadata": {"a": "b"}, "volume_type": None}}
    answer = cloud.call("POST", "/volumes", body)
    assert answer.status_code == 202
    made = answer.json()["volume"]
    assert (made["status"], made["size"], made["bootable"], made["attachments"]) == ("creating", 2, "false", [])
    volume = made["id"]
    cloud.settled(volume, "available")
    assert cloud.file(volume).stat().st_size == 2 << 30
    changed = cloud.ok("PUT", f"/volumes/{volume}", {"volume": {"name": "w"}})["volume"]
    assert (changed["name"], changed["description"]) == ("w", "d")
    assert cloud.call("POST", f"/volumes/{volume}/action", {"os-extend": {"new_size": 3}}).status_code == 202
    assert cloud.file(volume).stat().st_size == 3 << 30
    assert cloud.ok("GET", f"/volumes/{volume}")["volume"]["size"] == 3
    cloud.ok("POST", f"/volumes/{volume}/action", {"os-set_bootable": {"bootable": True}})
    assert cloud.ok("GET", f"/volumes/{volume}")["volume"]["bootable"] == "true"
    assert cloud.call("DELETE", f"/volumes/{volume}").status_code == 202
    until(lambda: cloud.status(volume) == "gone")
    assert not cloud.file(volume).exists()
    gone = cloud.call("GET", f"/volumes/{volume}")
    words = f"Volume {volume} could not be found."
    assert (gone.status_code, gone.json()) == (404, {"itemNotFound": {"code": 404, "message": words}})


BAD: list[tuple[Any, int]] = [
    ({"size": 0}, 400),
    ({"size": -1}, 400),
    ({"size": "many"}, 400),
    ({}, 400),
    ({"size": 1, "name": "x" * 256}, 400),
    ({"size": 1, "metadata": {"": "v"}}, 400),
    ({"size": 1, "availability_zone": "mars"}, 400),
    ({"size": 1, "volume_type": "gold"}, 404),
    ({"size": 1, "snapshot_id": str(uuid.uuid4())}, 404),
    ({"size": 1, "source_volid": str(uuid.uuid4())}, 404),
    ({"size": 1, "source_volid": str(uuid.uuid4()), "imageRef": str(uuid.uuid4())}, 400),
    ({"size": 1, "multiattach": True}, 400),
    ({"size": 1, "backup_id": str(uuid.uuid4())}, 501),
    ({"size": 1, "id": str(uuid.uuid4())}, 403),
    ({"size": 1, "project_id": "0" * 32}, 403),
    ({"size": 100001}, 413),
    ("text", 400),
]


@pytest.mark.parametrize(("wanted", "status"), BAD)
def test_bad_requests_leave_nothing(cloud: Cloud, wanted: Any, status: int) -> None:
    before = cloud.ok("GET", "/limits")
    answer = cloud.call("POST", "/volumes", {"volume": wanted})
    assert answer.status_code == status, answer.text
    ((kind, fault),) = answer.json().items()
    assert fault["code"] == status and fault["message"], kind
    assert cloud.ok("GET", "/limits") == before


def test_without_or_with_a_wrong_token(cloud: Cloud) -> None:
    for headers in ({}, {"X-Auth-Token": "gAAAAwrong"}):
        assert cloud.http.get(cloud.settings.url("volume", "/v3/volumes"), headers=headers).status_code == 401


def test_other_projects_see_nothing(cloud: Cloud) -> None:
    volume = cloud.volume(user="admin")
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/metadata")):
        answer = cloud.call(method, f"/volumes/{volume}{path}", {"volume": {"name": "mine"}})
        assert answer.status_code == 404, (method, path)
    attach = {"attachment": {"volume_uuid": volume}}
    assert cloud.call("POST", "/attachments", attach).status_code == 404
    assert cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": volume}}).status_code == 404
    assert cloud.call("POST", "/volumes", {"volume": {"source_volid": volume}}).status_code == 404
    listed = cloud.ok("GET", "/volumes?all_tenants=1")["volumes"]
    assert volume not in [v["id"] for v in listed]
    assert volume in [v["id"] for v in cloud.ok("GET", "/volumes?all_tenants=1", user="nova")["volumes"]]
    cloud.delete(volume)


def test_a_service_makes_a_volume_for_a_tenant_once(cloud: Cloud) -> None:
    chosen = str(uuid.uuid4())
    body = {"volume": {"id": chosen, "project_id": cloud.project_ids["demo"], "size": 1}}
    assert cloud.ok("POST", "/volumes", body, user="nova")["volume"]["id"] == chosen
    again = cloud.call("POST", "/volumes", body, user="nova")
    assert again.status_code == 409 and "conflictingRequest" in again.json()
    cloud.settled(chosen, "available")
    shown = cloud.ok("GET", f"/volumes/{chosen}")["volume"]
    assert shown["os-vol-tenant-attr:tenant_id"] == cloud.project_ids["demo"]
    cloud.delete(chosen)


def test_project_in_the_path(cloud: Cloud) -> None:
    assert "volumes" in cloud.ok("GET", f"/{cloud.project_ids['demo']}/volumes")
    assert cloud.call("GET", f"/{cloud.project_ids['admin']}/volumes").status_code == 400


def test_lists_are_filtered_sorted_and_paged(cloud: Cloud, volumes: list[str]) -> None:
    def ids(query: str) -> list[str]:
        return [v["id"] for v in cloud.ok("GET", f"/volumes/detail?{query}")["volumes"] if v["id"] in volumes]

    assert ids("") == volumes[::-1], "newest first"
    assert ids("sort=size:asc") == volumes
    assert ids("sort_key=size&sort_dir=desc") == volumes[::-1]
    assert ids("name=list-2") == [volumes[1]]
    assert ids("status=error") == []
    assert ids("metadata={'n': '3'}") == [volumes[2]]
    page = cloud.ok("GET", "/volumes?name~=list-&sort=size:asc&limit=2")
    assert [v["id"] for v in page["volumes"]] == volumes[:2]
    following = cloud.http.get(page["volumes_links"][0]["href"], headers={"X-Auth-Token": cloud.token("demo")}).json()
    assert [v["id"] for v in following["volumes"]] == volumes[2:] and "volumes_links" not in following
    for bad in ("sort=secret:asc", "limit=-1", "metadata=__import__('os')", "all_tenants=maybe"):
        assert cloud.call("GET", f"/volumes?{bad}").status_code == 400, bad
    assert cloud.call("GET", f"/volumes?marker={uuid.uuid4()}").status_code == 404


def test_metadata(cloud: Cloud, volumes: list[str]) -> None:
    path = f"/volumes/{volumes[0]}/metadata"
    assert cloud.ok("POST", path, {"metadata": {"b": "2"}})["metadata"] == {"n": "1", "b": "2"}
    assert cloud.ok("PUT", f"{path}/b", {"meta": {"b": "3"}})["meta"] == {"b": "3"}
    assert cloud.ok("GET", f"{path}/b")["meta"] == {"b": "3"}
    assert cloud.call("DELETE", f"{path}/n").status_code == 200
    assert cloud.call("DELETE", f"{path}/n").status_code == 404
    assert cloud.ok("PUT", path, {"metadata": {}})["metadata"] == {}


def test_quota(cloud: Cloud) -> None:
    project = cloud.project_ids["admin"]
    path = f"/os-quota-sets/{project}"
    assert cloud.call("PUT", path, {"quota_set": {"volumes": 1}}).status_code == 403
    before = cloud.ok("GET", path, user="admin")["quota_set"]
    used = cloud.ok("GET", f"{path}?usage=True", user="admin")["quota_set"]["volumes"]["in_use"]
    cloud.ok("PUT", path, {"quota_set": {"volumes": used + 1}}, user="admin")
    volume = cloud.volume(user="admin")
    refused = cloud.call("POST", "/volumes", {"volume": {"size": 1}}, user="admin")
    assert refused.status_code == 413 and "quota 'volumes'" in refused.json()["overLimit"]["message"]
    cloud.ok("PUT", path, {"quota_set": {"volumes": before["volumes"]}}, user="admin")
    cloud.delete(volume)
    assert cloud.ok("GET", f"{path}/defaults", user="admin")["quota_set"]["volumes"] == 10
    assert cloud.call("PUT", path, {"quota_set": {"nonsense": 1}}, user="admin").status_code == 400


def test_about(cloud: Cloud) -> None:
    (kind,) = cloud.ok("GET", "/types")["volume_types"]
    assert cloud.ok("GET", f"/types/{kind['id']}")["volume_type"]["name"] == "nbd"
    assert cloud.call("GET", "/types/nbd").status_code == 404
    (service,) = cloud.ok("GET", "/os-services", user="admin")["services"]
    assert (service["host"], service["state"]) == ("store1@nbd", "up")
    assert cloud.call("GET", "/os-services").status_code == 403
    assert cloud.ok("GET", "/os-availability-zone")["availabilityZoneInfo"][0]["zoneName"] == "nova"
    assert cloud.ok("GET", "/scheduler-stats/get_pools", user="admin")["pools"]
    assert cloud.call("GET", "/nonsense").status_code == 404


def test_deletion_goes_on_after_a_kill(cloud: Cloud) -> None:
    made = [cloud.volume() for _ in range(6)]
    for volume in made:
        assert cloud.call("DELETE", f"/volumes/{volume}").status_code == 202
    cloud.kill("volume")
    cloud.start("volume")
    until(lambda: {cloud.status(volume) for volume in made} == {"gone"})
    assert not any(cloud.file(volume).exists() for volume in made)


def test_creations_at_once_respect_the_quota(cloud: Cloud) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = f"/os-quota-sets/{cloud.project_ids['admin']}"
    before = cloud.ok("GET", f"{path}?usage=True", user="admin")["quota_set"]["volumes"]
    cloud.ok("PUT", path, {"quota_set": {"volumes": before["in_use"] + 3}}, user="admin")
    with ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(cloud.call, "POST", "/volumes", {"volume": {"size": 1}}, user="admin") for _ in range(10)]
    answers = [a.result() for a in asked]
    assert sorted(a.status_code for a in answers) == [202] * 3 + [413] * 7
    cloud.ok("PUT", path, {"quota_set": {"volumes": before["limit"]}}, user="admin")
    for answer in answers[:]:
        if answer.status_code == 202:
            cloud.settled(answer.json()["volume"]["id"], "available")
            cloud.delete(answer.json()["volume"]["id"])
