"""What a project may have: exact under any parallelism, in Cinder's words, and seen by who may see it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.volume.cloud import Cloud


@pytest.fixture
def quota(cloud: Cloud) -> Iterator[Any]:
    """Sets limits of the project admin, on top of what it uses; they are as before afterwards."""
    path = f"/os-quota-sets/{cloud.project_ids['admin']}"
    before = cloud.ok("GET", f"{path}?usage=True", user="admin")["quota_set"]

    def more(**wanted: int) -> None:
        limits = {name: before[name]["in_use"] + count for name, count in wanted.items()}
        cloud.ok("PUT", path, {"quota_set": limits}, user="admin")

    yield more
    limits = {name: each["limit"] for name, each in before.items() if name != "id"}
    cloud.ok("PUT", path, {"quota_set": limits}, user="admin")


def test_fifty_at_once_get_exactly_what_is_allowed(cloud: Cloud, quota: Any) -> None:
    quota(volumes=7, gigabytes=100)
    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(cloud.call, "POST", "/volumes", {"volume": {"size": 1}}, user="admin") for _ in range(50)]
    answers = [a.result() for a in asked]
    assert sorted(a.status_code for a in answers) == [202] * 7 + [413] * 43
    refused = next(a for a in answers if a.status_code == 413)
    words = refused.json()["overLimit"]["message"]
    assert words.startswith("Maximum number of volumes allowed (") and words.endswith("exceeded for quota 'volumes'.")
    assert refused.headers["Retry-After"] == "0" and refused.json()["overLimit"]["retryAfter"] == "0"
    path = f"/os-quota-sets/{cloud.project_ids['admin']}?usage=True"
    used = cloud.ok("GET", path, user="admin")["quota_set"]["volumes"]
    assert used["in_use"] == used["limit"] and used["reserved"] == 0
    for answer in answers:
        if answer.status_code == 202:
            cloud.settled(answer.json()["volume"]["id"], "available", 60)
            cloud.delete(answer.json()["volume"]["id"])


def test_words_of_each_limit(cloud: Cloud, quota: Any) -> None:
    quota(gigabytes=2, per_volume_gigabytes=0)
    path = f"/os-quota-sets/{cloud.project_ids['admin']}"
    cloud.ok("PUT", path, {"quota_set": {"per_volume_gigabytes": 3}}, user="admin")
    large = cloud.call("POST", "/volumes", {"volume": {"size": 4}}, user="admin").json()["overLimit"]["message"]
    assert large == "Requested volume size 4G is larger than maximum allowed limit 3G."
    full = cloud.call("POST", "/volumes", {"volume": {"size": 3}}, user="admin").json()["overLimit"]["message"]
    assert full.startswith("Requested volume or snapshot exceeds allowed gigabytes quota. Requested 3G, quota is ")
    volume = cloud.volume(user="admin")
    cloud.ok("PUT", path, {"quota_set": {"snapshots": 0}}, user="admin")
    refused = cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": volume}}, user="admin")
    assert refused.json()["overLimit"]["message"] == "Maximum number of snapshots allowed (0) exceeded"
    cloud.delete(volume)


def test_quota_below_what_is_used_is_refused_when_asked_to(cloud: Cloud, quota: Any) -> None:
    quota(volumes=5)
    volume, path = cloud.volume(user="admin"), f"/os-quota-sets/{cloud.project_ids['admin']}"
    low = {"quota_set": {"volumes": 0, "skip_validation": False}}
    refused = cloud.call("PUT", path, low, user="admin")
    assert refused.status_code == 400 and "must be equal or greater" in refused.json()["badRequest"]["message"]
    low["quota_set"]["skip_validation"] = True
    assert cloud.ok("PUT", path, low, user="admin")["quota_set"]["volumes"] == 0
    cloud.delete(volume)


@pytest.mark.parametrize("bad", [{"volumes": -2}, {"volumes": 2**31}, {"volumes": "²"}, {"volumes": 1.5}, {"x": 1}, {}])
def test_bad_quotas(cloud: Cloud, bad: dict[str, Any]) -> None:
    path = f"/os-quota-sets/{cloud.project_ids['admin']}"
    assert cloud.call("PUT", path, {"quota_set": bad}, user="admin").status_code == 400


def test_items_of_metadata_are_bounded(cloud: Cloud) -> None:
    many = {f"k{n}": "v" for n in range(129)}
    assert cloud.call("POST", "/volumes", {"volume": {"size": 1, "metadata": many}}).status_code == 400
    volume = cloud.volume(metadata={f"k{n}": "v" for n in range(128)})
    more = cloud.call("POST", f"/volumes/{volume}/metadata", {"metadata": {"one": "more"}})
    assert more.status_code == 413
    path, key = f"/volumes/{volume}/action", "os-set_image_metadata"
    assert cloud.call("POST", path, {key: {"metadata": {"k": "x" * 256}}}).status_code == 400
    assert cloud.call("POST", path, {key: {"metadata": many}}).status_code == 413, "issue: 10 MB each were taken"
    cloud.delete(volume)


def test_limits_are_seen_by_their_project_and_by_administrators(cloud: Cloud) -> None:
    demo = cloud.project_ids["demo"]
    assert cloud.call("GET", f"/os-quota-sets/{cloud.project_ids['admin']}").status_code == 403
    own = cloud.ok("GET", "/limits")
    assert cloud.ok("GET", f"/limits?project_id={cloud.project_ids['admin']}") == own, "passed over, as in Cinder"
    assert cloud.ok("GET", f"/limits?tenant_id={demo}", user="admin", version="3.39") == own
    assert cloud.ok("GET", f"/limits?project_id={demo}", user="admin")["limits"]["absolute"]["maxTotalVolumes"] == 200
    assert cloud.ok("GET", "/os-quota-class-sets/default", user="admin")["quota_class_set"]["volumes"] == 10


def test_defaults_of_all_projects(cloud: Cloud) -> None:
    path, of_demo = "/os-quota-class-sets/default", f"/os-quota-sets/{cloud.project_ids['demo']}"
    before = cloud.ok("GET", path, user="admin")["quota_class_set"]
    cloud.ok("PUT", of_demo, {"quota_set": {"groups": 3}}, user="admin")
    try:
        wanted = {"backups": 43, "groups": 4}
        assert cloud.ok("PUT", path, {"quota_class_set": wanted}, user="admin")["quota_class_set"]["backups"] == 43
        shown = cloud.ok("GET", of_demo)["quota_set"]
        assert (shown["backups"], shown["groups"]) == (43, 3), "what was set for a project stays"
        assert cloud.ok("GET", f"{of_demo}/defaults", user="admin")["quota_set"]["groups"] == 4
        assert cloud.call("PUT", path, {"quota_class_set": {"backups": -2}}, user="admin").status_code == 400
        assert cloud.call("PUT", path, {"quota_class_set": {"pears": 1}}, user="admin").status_code == 400
    finally:
        old = {name: before[name] for name in ("backups", "groups")}
        cloud.ok("PUT", path, {"quota_class_set": old}, user="admin")
        cloud.ok("PUT", of_demo, {"quota_set": {"groups": before["groups"]}}, user="admin")
    assert cloud.call("PUT", path, {"quota_class_set": {"backups": 1}}).status_code == 403
    words = cloud.call("PUT", "/os-quota-class-sets/gold", {"quota_class_set": {"backups": 1}}, user="admin")
    assert words.status_code == 501 and "No quota class but 'default' is used." in words.text
