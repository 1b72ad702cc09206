"""What does not exist has an empty list, one of it is not found, and what would make one says 501."""

import uuid

import pytest

from tests.volume.cloud import Cloud
from tests.volume.interceptor import problems, violations
from tests.volume.routes import c

LISTS = [
    ("/backups", "backups", "demo"),
    ("/backups/detail", "backups", "demo"),
    ("/consistencygroups", "consistencygroups", "demo"),
    ("/consistencygroups/detail", "consistencygroups", "demo"),
    ("/cgsnapshots/detail", "cgsnapshots", "demo"),
    ("/groups", "groups", "demo"),
    ("/groups/detail", "groups", "demo"),
    ("/group_snapshots/detail", "group_snapshots", "demo"),
    ("/group_types", "group_types", "demo"),
    ("/qos-specs", "qos_specs", "admin"),
    ("/clusters", "clusters", "admin"),
    ("/clusters/detail", "clusters", "admin"),
    ("/os-volume-transfer/detail", "transfers", "demo"),
    ("/volume-transfers", "transfers", "demo"),
    ("/volume-transfers/detail", "transfers", "demo"),
    ("/default-types", "default_types", "admin"),
]


@pytest.mark.parametrize(("path", "key", "user"), LISTS)
def test_empty_lists(cloud: Cloud, path: str, key: str, user: str) -> None:
    assert cloud.ok("GET", path, user=user) == {key: []}


@pytest.mark.parametrize("path", ["/groups", "/clusters", "/group_types", "/volume-transfers", "/default-types"])
def test_lists_exist_only_since_their_microversion(cloud: Cloud, path: str) -> None:
    assert cloud.call("GET", path, user="admin", version="3.0").status_code == 404


def test_single_ones_are_not_found_and_making_them_is_not_built(cloud: Cloud) -> None:
    for path in ("backups", "groups", "consistencygroups", "qos-specs", "group_types", "group_snapshots"):
        missing = cloud.call("GET", f"/{path}/{uuid.uuid4()}", user="admin")
        assert missing.status_code == 404 and "itemNotFound" in missing.json(), path
        refused = cloud.call("POST", f"/{path}", {"x": {}}, user="admin")
        assert refused.status_code == 501 and "is not supported" in refused.json()["notImplemented"]["message"], path
    for path in ("/os-volume-manage", "/manageable_volumes", "/manageable_snapshots"):
        refused = cloud.call("POST", path, {"volume": {"host": "h", "ref": {"source-name": "x"}}}, user="admin")
        assert refused.status_code == 501, path


def test_what_is_below_a_single_one_is_not_found_either(cloud: Cloud) -> None:
    for path in ("group_types/x/group_specs", "qos-specs/x/associations", "groups/x/y"):
        assert cloud.call("GET", f"/{path}", user="admin").status_code == 404, path


def test_encryption_of_a_type_and_of_a_volume_is_truly_none(cloud: Cloud) -> None:
    (kind,) = [t for t in cloud.ok("GET", "/types")["volume_types"] if t["name"] == "nbd"]
    assert cloud.ok("GET", f"/types/{kind['id']}/encryption", user="admin") == {}
    volume = cloud.volume()
    assert cloud.ok("GET", f"/volumes/{volume}/encryption") == {"encryption_key_id": None}
    cloud.delete(volume)


def test_the_contract_finds_what_it_is_there_for() -> None:
    """The check itself: a field too many, a missing one, a wrong type, a field before its time, an unknown route."""
    made = dict.fromkeys(("id", "name", "links"), "x")
    assert any("missing" in p for p in problems(c.NEW_VOLUME, made, (3, 0)))
    assert problems({"a": c.INT}, {"a": 1, "b": 2}, (3, 0)) == ["/b: a field too many"]
    assert problems({"a": c.INT}, {"a": True}, (3, 0))
    assert problems({"a": c.At((3, 13), c.INT)}, {"a": 1}, (3, 12)) == ["/a: a field too many"]
    assert not problems({"a": c.At((3, 13), c.INT)}, {"a": 1}, (3, 13))
    assert violations("GET", "/nonsense", (3, 0), b"", 200, b"{}") == ["the API reference has no such route"]
    assert violations("DELETE", "/volumes/x", (3, 0), b"", 202, b"{}")
    assert violations("GET", "/volumes", (3, 0), b"", 404, b'{"notFound": {}}')
