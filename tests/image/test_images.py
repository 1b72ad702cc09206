"""Records: create, show, update by JSON patch, delete; the errors' words and forms."""

import json
import uuid
from typing import Any

import httpx
import pytest

from tests.image.cloud import HTTP, Api, Cloud

FIELDS = {"id", "name", "status", "visibility", "protected", "checksum", "os_hash_algo", "os_hash_value", "os_hidden"}
FIELDS |= {"owner", "size", "virtual_size", "container_format", "disk_format", "min_disk", "min_ram", "created_at"}
FIELDS |= {"updated_at", "tags", "self", "file", "schema"}


def test_created_image_has_every_field_and_its_properties(demo: Api) -> None:
    image = demo.create(name="guest", min_ram=64, min_disk=1, tags=["b", "a", "b"], hw_disk_bus="virtio", os_distro="d")
    assert FIELDS | {"hw_disk_bus", "os_distro"} == set(image)
    assert (image["status"], image["visibility"], image["owner"]) == ("queued", "shared", demo.project_id)
    assert (image["min_ram"], image["tags"], image["hw_disk_bus"]) == (64, ["a", "b"], "virtio")
    assert (image["size"], image["checksum"], image["protected"]) == (None, None, False)
    assert image["file"] == f"/v2/images/{image['id']}/file"
    assert demo.show(image) == image


def test_location_and_import_headers(demo: Api) -> None:
    answer = demo.http.post("/images", json={})
    assert answer.headers["location"] == f"{demo.url}/v2/images/{answer.json()['id']}"
    assert answer.headers["openstack-image-import-methods"] == "glance-direct"
    assert answer.json()["name"] is None


def test_client_chooses_the_id_once(demo: Api, other: Api) -> None:
    image_id = str(uuid.uuid4())
    assert demo.create(id=image_id.upper())["id"] == image_id
    assert "already exists" in demo.create(409, id=image_id)["message"]
    assert "already exists" in other.create(409, id=image_id)["message"]


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("id", "not-a-uuid", 400),
        ("name", 7, 400),
        ("name", "n" * 256, 400),
        ("name", "nul\0", 400),
        ("disk_format", "floppy", 400),
        ("container_format", "tar", 400),
        ("visibility", "everyone", 400),
        ("protected", "yes", 400),
        ("min_ram", -1, 400),
        ("min_ram", True, 400),
        ("min_disk", 2**31, 400),
        ("tags", "one", 400),
        ("tags", [1], 400),
        ("tags", ["t" * 256], 400),
        ("tags", [str(n) for n in range(129)], 413),
        ("hw_disk_bus", None, 400),
        ("hw_disk_bus", {"a": 1}, 400),
        ("p" * 256, "v", 400),
        ("status", "active", 403),
        ("checksum", "0" * 32, 403),
        ("self", "/x", 403),
        ("os_glance_x", "1", 403),
        ("locations", [], 403),
        ("visibility", "public", 403),
        ("owner", "somebody", 403),
    ],
)
def test_bad_fields_are_refused_and_leave_nothing(anyone: Api, field: str, value: Any, status: int) -> None:
    before = anyone.names()
    answer = anyone.create(status, **{field: value})
    assert set(answer) == {"message", "code", "title"}
    assert anyone.names() == before


def test_too_many_properties(demo: Api) -> None:
    assert "128" in demo.create(413, **{f"p{n}": "v" for n in range(129)})["message"]
    image = demo.create(**{f"p{n}": "v" for n in range(128)})
    demo.patch(image, 413, {"op": "add", "path": "/one_more", "value": "v"})
    assert "one_more" not in demo.show(image)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"[" * 100_000])
def test_malformed_bodies(anyone: Api, body: bytes) -> None:
    anyone.call("POST", "/images", 400, content=body, headers={"Content-Type": "application/json"})


def test_oversized_body(demo: Api) -> None:
    demo.call("POST", "/images", 413, content=b'{"name": "' + b"x" * (2 << 20))


def test_patch_adds_replaces_removes(demo: Api) -> None:
    image = demo.create(hw_disk_bus="virtio", tags=["old"])
    shown = demo.patch(
        image,
        200,
        {"op": "replace", "path": "/name", "value": "new"},
        {"op": "add", "path": "/os_distro", "value": "debian"},
        {"op": "replace", "path": "/hw_disk_bus", "value": "scsi"},
        {"op": "replace", "path": "/tags", "value": ["x", "y"]},
        {"op": "replace", "path": "/min_ram", "value": 99},
        {"op": "add", "path": "/a~1b~0c", "value": "odd name"},
        {"op": "remove", "path": "/os_distro"},
        {"op": "add", "path": "/os_distro", "value": "again"},
        {"op": "replace", "path": "/protected", "value": True},
        {"op": "replace", "path": "/os_hidden", "value": True},
        {"op": "replace", "path": "/visibility", "value": "community"},
        {"op": "replace", "path": "/disk_format", "value": "qcow2"},
    )
    assert shown == demo.show(image)
    assert (shown["name"], shown["hw_disk_bus"], shown["tags"], shown["min_ram"]) == ("new", "scsi", ["x", "y"], 99)
    assert (shown["a/b~c"], shown["os_distro"], shown["visibility"]) == ("odd name", "again", "community")
    assert shown["protected"] and shown["os_hidden"] and shown["disk_format"] == "qcow2"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"op": "replace", "path": "/absent", "value": "x"}, 409),
        ({"op": "remove", "path": "/absent"}, 409),
        ({"op": "remove", "path": "/name"}, 403),
        ({"op": "replace", "path": "/id", "value": "x"}, 403),
        ({"op": "replace", "path": "/size", "value": 1}, 403),
        ({"op": "replace", "path": "/checksum", "value": "x"}, 403),
        ({"op": "replace", "path": "/visibility", "value": "public"}, 403),
        ({"op": "replace", "path": "/owner", "value": "me"}, 403),
        ({"op": "replace", "path": "/min_ram", "value": "64"}, 400),
        ({"op": "add", "path": "/prop", "value": 5}, 400),
        ({"op": "add", "path": "/prop"}, 400),
        ({"op": "move", "path": "/prop", "value": "x"}, 400),
        ({"op": "add", "path": "prop", "value": "x"}, 400),
        ({"op": "add", "path": "/a/b", "value": "x"}, 400),
        ({"op": "add", "path": "/a~2", "value": "x"}, 400),
        ("add", 400),
    ],
)
def test_bad_patch_changes_nothing(anyone: Api, change: Any, status: int) -> None:
    image = anyone.create()
    anyone.patch(image, status, {"op": "replace", "path": "/name", "value": "half"}, change)
    assert anyone.show(image) == image
    anyone.delete(image)


def test_patch_media_types(demo: Api) -> None:
    image = demo.create()
    path, body = f"/images/{image['id']}", json.dumps([{"replace": "/name", "value": "v2.0"}])
    answer = demo.http.patch(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 415 and "v2.1-json-patch" in answer.headers["accept-patch"]
    old = {"Content-Type": "application/openstack-images-v2.0-json-patch"}
    assert demo.call("PATCH", path, 200, content=body, headers=old)["name"] == "v2.0"


def test_formats_are_fixed_once_data_is_there(demo: Api) -> None:
    image = demo.active()
    demo.patch(image, 403, {"op": "replace", "path": "/disk_format", "value": "iso"})
    demo.patch(image, 200, {"op": "replace", "path": "/disk_format", "value": "raw"})


def test_tags_one_by_one(demo: Api, other: Api) -> None:
    image = demo.create()
    path = f"/images/{image['id']}/tags"
    for _ in range(2):
        demo.call("PUT", f"{path}/blue", 204)
    assert demo.show(image)["tags"] == ["blue"]
    demo.call("PUT", f"{path}/{'t' * 256}", 400)
    other.call("PUT", f"{path}/red", 404)
    demo.call("DELETE", f"{path}/blue", 204)
    demo.call("DELETE", f"{path}/blue", 404)
    demo.call("DELETE", f"{path}/a%00b", 404)
    demo.call("GET", f"/images/{image['id'][:-1]}%00", 404)
    demo.call("DELETE", f"/images/{image['id']}/members/a%00b", 404)


def test_delete(demo: Api, cloud: Cloud) -> None:
    image = demo.active()
    assert image["id"] in cloud.files()
    demo.patch(image, 200, {"op": "replace", "path": "/protected", "value": True})
    assert "protected" in demo.delete(image, 403)["message"]
    demo.patch(image, 200, {"op": "replace", "path": "/protected", "value": False})
    demo.delete(image)
    demo.delete(image, 404)
    demo.show(image, 404)
    assert image["id"] not in cloud.files()


def test_reader_may_look_but_not_make(cloud: Cloud) -> None:
    reader = cloud.tenant("reader")
    reader.create(403)
    assert reader.call("GET", "/images", 200)["schema"] == "/v2/schemas/images"


def test_error_forms(demo: Api) -> None:
    url, headers = f"{demo.url}/v2/images/<b>", {"X-Auth-Token": demo.token}
    page = httpx.get(url, headers=headers, **HTTP)
    assert page.status_code == 404 and page.headers["content-type"].startswith("text/html")
    assert "<title>404 Not Found</title>" in page.text and "&lt;b&gt;" in page.text
    assert (
        "No image found with ID"
        in httpx.get(url, headers=headers | {"Accept": "application/json"}, **HTTP).json()["message"]
    )
    plain = httpx.get(url, headers=headers | {"Accept": "text/plain"}, **HTTP)
    assert plain.text.startswith("404 Not Found\n\n")
    assert page.headers["x-openstack-request-id"].startswith("req-")


@pytest.mark.parametrize("token", ["", "nonsense", "gAAAAA" + "x" * 100])
def test_without_a_good_token(anyone: Api, token: str) -> None:
    for method, path in (("GET", ""), ("POST", ""), ("PUT", "/x/file"), ("GET", "/x/file"), ("DELETE", "/x")):
        answer = httpx.request(method, f"{anyone.url}/v2/images{path}", headers={"X-Auth-Token": token}, **HTTP)
        assert answer.status_code == 401 and "Keystone" in answer.headers["www-authenticate"]


def test_versions_schemas_and_info(demo: Api) -> None:
    root = httpx.get(f"{demo.url}/", **HTTP)
    ids = [version["id"] for version in root.json()["versions"]]
    assert root.status_code == 300 and ids[0] == "v2.17" and ids[-1] == "v2.0"
    assert root.json()["versions"][0]["links"][0]["href"] == f"{demo.url}/v2/"
    assert httpx.get(f"{demo.url}/versions", **HTTP).json() == root.json()
    schema = demo.call("GET", "/schemas/image", 200)
    assert set(schema["properties"]) == FIELDS and schema["additionalProperties"] == {"type": "string"}
    assert demo.call("GET", "/schemas/images", 200)["properties"]["images"]["items"]["name"] == "image"
    demo.call("GET", "/schemas/other", 404)
    assert demo.call("GET", "/info/import", 200)["import-methods"]["value"] == ["glance-direct"]
    assert demo.call("GET", "/info/stores", 200)["stores"][0]["id"] == "local"
    assert "not supported" in demo.call("GET", "/tasks", 501)["message"]
    demo.call("GET", "/metadefs/namespaces", 501)
    demo.call("PUT", "/images", 405)
