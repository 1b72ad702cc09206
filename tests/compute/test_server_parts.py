"""Metadata and tags."""

import pytest

from tests.compute.conftest import Api, Cloud


def test_metadata(cloud: Cloud, demo: Api) -> None:
    path = f"/servers/{cloud.server(demo, server_metadata={'a': '1'})}/metadata"
    assert demo.post(path, {"metadata": {"b": "2"}}) == {"metadata": {"a": "1", "b": "2"}}
    assert demo.put(f"{path}/a", {"meta": {"a": "3"}}) == {"meta": {"a": "3"}}
    assert demo.get(f"{path}/a") == {"meta": {"a": "3"}}
    assert demo.delete(f"{path}/a") is None
    demo.refused("DELETE", f"{path}/a", 404)
    demo.refused("GET", f"{path}/a", 404)
    demo.refused("PUT", f"{path}/x", 400, json={"meta": {"y": "1"}})
    assert demo.put(path, {"metadata": {"c": "4"}}) == demo.get(path) == {"metadata": {"c": "4"}}


@pytest.mark.parametrize("metadata", [{"a": 1}, {"": "x"}, {"a/b": "x"}, {"a": "x" * 256}, {"a" * 256: "x"}, []])
def test_bad_metadata(cloud: Cloud, demo: Api, metadata: object) -> None:
    server = cloud.server(demo)
    demo.refused("POST", f"/servers/{server}/metadata", 400, json={"metadata": metadata})
    assert cloud.row(server).server_metadata == {}


def test_metadata_limit(cloud: Cloud, demo: Api) -> None:
    path = f"/servers/{cloud.server(demo)}/metadata"
    demo.put(path, {"metadata": {str(n): "x" for n in range(128)}})
    message = demo.refused("POST", path, 403, json={"metadata": {"more": "x"}})
    assert message == "Maximum number of metadata items exceeds 128"


def test_tags(cloud: Cloud, demo: Api) -> None:
    path = f"/servers/{cloud.server(demo)}/tags"
    demo.refused("GET", path, 404, "2.25")
    demo.put(f"{path}/x", None, 201)
    demo.put(f"{path}/x", None, 204)
    demo.put(f"{path}/y", None, 201)
    assert demo.get(path) == {"tags": ["x", "y"]}
    demo.get(f"{path}/x", 204)
    demo.delete(f"{path}/x")
    demo.refused("GET", f"{path}/x", 404)
    demo.refused("DELETE", f"{path}/x", 404)
    assert demo.put(path, {"tags": ["b", "b", "c"]}) == {"tags": ["b", "c"]}
    demo.delete(path)
    assert demo.get(path) == {"tags": []}


def test_bad_tags(cloud: Cloud, demo: Api) -> None:
    path = f"/servers/{cloud.server(demo)}/tags"
    demo.refused("PUT", f"{path}/a,b", 400)
    demo.refused("PUT", path, 400, json={"tags": [str(n) for n in range(51)]})
    demo.refused("PUT", path, 400, json={"tags": ["x" * 61]})
    demo.put(path, {"tags": [str(n) for n in range(50)]})
    assert "exceeded the per-server limit 50" in demo.refused("PUT", f"{path}/more", 400)


def test_locked_servers_metadata(cloud: Cloud, demo: Api) -> None:
    server = cloud.server(demo, locked=True, locked_by="owner")
    assert demo.refused("POST", f"/servers/{server}/metadata", 409, json={"metadata": {}}) == (
        f"Instance {server} is locked"
    )


@pytest.mark.parametrize("vm_state", ["error", "rescued", "resized", "shelved", "shelved_offloaded", "soft-delete"])
def test_metadata_and_tags_change_where_nova_lets_them(cloud: Cloud, demo: Api, vm_state: str) -> None:
    server = cloud.server(demo, vm_state=vm_state, server_metadata={"a": "1"}, tags=["x"])
    doing = "Cannot '{}' instance " + f"{server} while it is in vm_state {vm_state}"
    meta, tags = f"/servers/{server}/metadata", f"/servers/{server}/tags"
    for method, path, json, what in (
        ("POST", meta, {"metadata": {"b": "2"}}, "update metadata"),
        ("PUT", meta, {"metadata": {"b": "2"}}, "update metadata"),
        ("PUT", f"{meta}/a", {"meta": {"a": "2"}}, "update metadata"),
        ("DELETE", f"{meta}/a", None, "delete metadata"),
        ("PUT", tags, {"tags": ["y"]}, "update tags"),
        ("PUT", f"{tags}/y", None, "update tag"),
        ("DELETE", f"{tags}/x", None, "delete tag"),
        ("DELETE", tags, None, "delete tags"),
    ):
        assert demo.refused(method, path, 409, json=json) == doing.format(what)
    assert (cloud.row(server).server_metadata, cloud.row(server).tags) == ({"a": "1"}, ["x"])


@pytest.mark.parametrize("vm_state", ["active", "paused", "suspended", "stopped"])
def test_metadata_and_tags_change_meanwhile(cloud: Cloud, demo: Api, vm_state: str) -> None:
    """An operation that runs does not hinder."""
    server = cloud.server(demo, vm_state=vm_state, task_state="image_snapshot")
    demo.put(f"/servers/{server}/metadata", {"metadata": {"b": "2"}})
    demo.put(f"/servers/{server}/tags/y", None, 201)
