"""A volume goes from one project to another, with the key alone, once, within the receiver's quota."""

from typing import Any

import pytest

from tests.volume.cloud import Cloud


def offer(cloud: Cloud, volume: str, place: str = "/volume-transfers", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = cloud.ok("POST", place, {"transfer": {"volume_id": volume, "name": "gift"} | more})
    return made["transfer"]


@pytest.mark.parametrize(("place", "version"), [("/os-volume-transfer", "3.0"), ("/volume-transfers", "3.57")])
def test_offered_and_accepted(cloud: Cloud, place: str, version: str) -> None:
    volume = cloud.volume()
    snapshot = cloud.snapshot(volume)
    body = {"transfer": {"volume_id": volume, "name": "gift"}}
    made = cloud.ok("POST", place, body, version=version)["transfer"]
    path = f"{place}/{made['id']}"
    assert cloud.status(volume) == "awaiting-transfer"
    assert made["auth_key"] not in cloud.call("GET", path, version=version).text
    assert [t["id"] for t in cloud.ok("GET", f"{place}/detail", version=version)["transfers"]] == [made["id"]]
    attach = {"attachment": {"volume_uuid": volume}}
    assert cloud.call("POST", "/attachments", attach).status_code == 400, "what is offered is not used meanwhile"
    assert cloud.call("DELETE", f"/volumes/{volume}").status_code == 400
    wrong = cloud.call("POST", f"{path}/accept", {"accept": {"auth_key": "0" * 16}}, user="admin", version=version)
    assert wrong.status_code == 400 and "Invalid auth key" in wrong.json()["badRequest"]["message"]
    key = {"accept": {"auth_key": made["auth_key"]}}
    taken = cloud.ok("POST", f"{path}/accept", key, user="admin", version=version)["transfer"]
    assert taken["volume_id"] == volume
    assert cloud.call("POST", f"{path}/accept", key, user="admin", version=version).status_code == 404, "once only"
    assert cloud.call("GET", f"/volumes/{volume}").status_code == 404
    shown = cloud.ok("GET", f"/volumes/{volume}", user="admin")["volume"]
    assert (shown["os-vol-tenant-attr:tenant_id"], shown["status"]) == (cloud.project_ids["admin"], "available")
    assert cloud.ok("GET", f"/snapshots/{snapshot}", user="admin")["snapshot"]["volume_id"] == volume
    assert cloud.call("DELETE", f"/volumes/{volume}?cascade=true", user="admin").status_code == 202


def test_taken_back(cloud: Cloud) -> None:
    volume = cloud.volume()
    made = offer(cloud, volume)
    assert cloud.call("DELETE", f"/volume-transfers/{made['id']}", user="admin").status_code == 202
    assert cloud.status(volume) == "available"
    assert cloud.call("GET", f"/volume-transfers/{made['id']}").status_code == 404
    cloud.delete(volume)


def test_without_snapshots_they_stay_and_keep_the_volume(cloud: Cloud) -> None:
    volume = cloud.volume()
    snapshot = cloud.snapshot(volume)
    made = offer(cloud, volume, no_snapshots=True)
    key = {"accept": {"auth_key": made["auth_key"]}}
    cloud.ok("POST", f"/volume-transfers/{made['id']}/accept", key, user="admin")
    assert cloud.ok("GET", f"/snapshots/{snapshot}")["snapshot"]["volume_id"] == volume
    refused = cloud.call("DELETE", f"/volumes/{volume}?cascade=true", user="admin")
    assert refused.status_code == 400, "another project's snapshot is not removed with it"
    assert cloud.call("DELETE", f"/snapshots/{snapshot}").status_code == 202


def test_the_receivers_quota_holds(cloud: Cloud) -> None:
    volume, path = cloud.volume(), f"/os-quota-sets/{cloud.project_ids['admin']}"
    made = offer(cloud, volume)
    before = cloud.ok("GET", f"{path}?usage=True", user="admin")["quota_set"]["volumes"]
    cloud.ok("PUT", path, {"quota_set": {"volumes": before["in_use"]}}, user="admin")
    key = {"accept": {"auth_key": made["auth_key"]}}
    refused = cloud.call("POST", f"/volume-transfers/{made['id']}/accept", key, user="admin")
    assert refused.status_code == 413 and refused.headers["Retry-After"] == "0"
    cloud.ok("PUT", path, {"quota_set": {"volumes": before["limit"]}}, user="admin")
    assert cloud.status(volume) == "awaiting-transfer"
    cloud.call("DELETE", f"/volume-transfers/{made['id']}")
    cloud.delete(volume)


def test_only_a_free_volume_is_offered(cloud: Cloud) -> None:
    volume = cloud.volume()
    attachment = cloud.attach(volume)
    refused = cloud.call("POST", "/volume-transfers", {"transfer": {"volume_id": volume}})
    assert refused.status_code == 400
    assert refused.json()["badRequest"]["message"] == "Invalid volume: status must be available"
    cloud.ok("DELETE", f"/attachments/{attachment['id']}", user="nova")
    early = {"transfer": {"volume_id": volume, "no_snapshots": True}}
    assert cloud.call("POST", "/os-volume-transfer", early, version="3.54").status_code == 400
    cloud.delete(volume)
