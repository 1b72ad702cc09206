"""Who sees and changes whose images: visibility, members, roles."""

from typing import Any

import pytest

from tests.image.cloud import Api, Cloud


@pytest.fixture(scope="module")
def owner(cloud: Cloud) -> Api:
    return cloud.tenant()


@pytest.fixture(scope="module")
def stranger(cloud: Cloud) -> Api:
    return cloud.tenant()


@pytest.fixture(scope="module")
def reader(cloud: Cloud) -> Api:
    return cloud.tenant("reader")


def attempt(who: Api, image: dict[str, str]) -> dict[str, int]:
    """Status of each operation on `image`, and how often two kinds of list show it."""
    change = [{"op": "add", "path": "/touched", "value": "yes"}]
    patch = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    path, octets = f"/images/{image['id']}", {"Content-Type": "application/octet-stream"}
    return {
        "show": who.http.get(path).status_code,
        "download": who.http.get(f"{path}/file").status_code,
        "patch": who.http.request("PATCH", path, json=change, headers=patch).status_code,
        "upload": who.http.put(f"{path}/file", content=b"x", headers=octets).status_code,
        "tag": who.http.put(f"{path}/tags/t").status_code,
        "list": who.names(name=image["name"]).count(image["name"]),
        "list all": who.names(name=image["name"], visibility="all").count(image["name"]),
        "delete": who.http.delete(path).status_code,
    }


ALL = {"show": 200, "download": 200, "patch": 200, "upload": 409, "tag": 204, "list": 1, "list all": 1, "delete": 204}
LOOK = {"show": 200, "download": 200, "patch": 403, "upload": 403, "tag": 403, "list": 1, "list all": 1, "delete": 403}
NONE = dict.fromkeys(("show", "download", "patch", "upload", "tag", "delete"), 404) | {"list": 0, "list all": 0}
MATRIX = {
    ("private", "owner"): ALL,
    ("private", "stranger"): NONE,
    ("private", "reader"): NONE,
    ("private", "admin"): ALL,
    ("private", "service"): ALL,
    ("shared", "owner"): ALL,
    ("shared", "stranger"): NONE,
    ("shared", "reader"): NONE,
    ("shared", "admin"): ALL,
    ("shared", "service"): ALL,
    ("community", "owner"): ALL,
    ("community", "stranger"): LOOK | {"list": 0},
    ("community", "reader"): LOOK | {"list": 0},
    ("community", "admin"): ALL,
    ("public", "owner"): ALL,
    ("public", "stranger"): LOOK,
    ("public", "reader"): LOOK,
    ("public", "admin"): ALL,
    ("public", "service"): ALL,
}


@pytest.mark.parametrize(("visibility", "who"), MATRIX)
def test_matrix(request: pytest.FixtureRequest, owner: Api, admin: Api, visibility: str, who: str) -> None:
    maker = admin if visibility == "public" else owner
    image = maker.active(b"data", name=f"{visibility}-{who}", visibility=visibility, owner=owner.project_id)
    assert attempt(request.getfixturevalue(who), image) == MATRIX[visibility, who]


def test_public_needs_an_administrator(owner: Api, admin: Api) -> None:
    image = owner.create()
    make_public = {"op": "replace", "path": "/visibility", "value": "public"}
    assert "publicize_image" in owner.patch(image, 403, make_public)["message"]
    assert admin.patch(image, 200, make_public)["visibility"] == "public"
    owner.patch(image, 200, make_public)
    admin.delete(image)


def test_service_makes_images_for_tenants(owner: Api, service: Api, stranger: Api) -> None:
    image = service.active(b"snapshot", owner=owner.project_id, visibility="private")
    assert owner.show(image)["owner"] == owner.project_id
    owner.download(image)
    stranger.show(image, 404)


def test_shared_with_a_member(owner: Api, stranger: Api, reader: Api) -> None:
    image = owner.active(name="to share")
    members = f"/images/{image['id']}/members"
    assert owner.call("GET", members, 200) == {"members": [], "schema": "/v2/schemas/members"}
    added = owner.call("POST", members, 200, json={"member": stranger.project_id})
    assert (added["member_id"], added["status"], added["image_id"]) == (stranger.project_id, "pending", image["id"])
    owner.call("POST", members, 409, json={"member": stranger.project_id})

    stranger.download(image)
    assert "to share" not in stranger.names()
    assert "to share" in stranger.names(visibility="shared", member_status="pending")
    mine = f"{members}/{stranger.project_id}"
    owner.call("PUT", mine, 403, json={"status": "accepted"})
    stranger.call("PUT", mine, 400, json={"status": "perhaps"})
    assert stranger.call("PUT", mine, 200, json={"status": "accepted"})["status"] == "accepted"
    assert "to share" in stranger.names() and "to share" in stranger.names(visibility="shared")
    stranger.call("PUT", mine, 200, json={"status": "rejected"})
    assert "to share" not in stranger.names()

    stranger.call("POST", members, 403, json={"member": reader.project_id})
    stranger.call("DELETE", mine, 403)
    stranger.patch(image, 403, {"op": "replace", "path": "/name", "value": "mine"})
    reader.call("GET", members, 404)
    owner.call("POST", members, 200, json={"member": reader.project_id})
    assert len(owner.call("GET", members, 200)["members"]) == 2
    assert [m["member_id"] for m in stranger.call("GET", members, 200)["members"]] == [stranger.project_id]
    stranger.call("GET", f"{members}/{reader.project_id}", 404)
    reader.call("PUT", f"{members}/{reader.project_id}", 403, json={"status": "accepted"})

    owner.call("DELETE", mine, 204)
    owner.call("DELETE", mine, 404)
    stranger.show(image, 404)
    owner.delete(image)


def test_only_shared_images_have_members(owner: Api, stranger: Api) -> None:
    image = owner.create(visibility="private")
    members = f"/images/{image['id']}/members"
    assert "Only shared" in owner.call("POST", members, 403, json={"member": stranger.project_id})["message"]
    owner.call("GET", members, 403)
    shared = owner.create()
    bodies: list[Any] = [{}, {"member": ""}, {"member": 5}, [], {"member": "m" * 256}]
    for body in bodies:
        owner.call("POST", f"/images/{shared['id']}/members", 400, json=body)


def test_community_images_are_listed_when_asked_for(owner: Api, stranger: Api) -> None:
    image = owner.create(name="for all", visibility="community")
    assert "for all" in stranger.names(visibility="community") and "for all" in owner.names()
    owner.delete(image)
