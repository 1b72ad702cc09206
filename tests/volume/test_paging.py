"""Lists are read page by page: each row once, in the order that was asked for, and an end."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.volume.cloud import Cloud
from tests.volume.images import ImageServer


def pages(cloud: Cloud, path: str, key: str, links: str, **options: Any) -> list[str]:
    """The ids along the links, as clients follow them: to a page that is not full, which of pages of one is empty."""
    found: list[str] = []
    while path:
        body = cloud.ok("GET", path, **options)
        found += [row["id"] for row in body[key]]
        full = len(body[key]) == 1
        assert (links in body) == full and len(body[key]) <= 1
        path = body[links][0]["href"].partition("/v3")[2] if full else ""
    return found


def refused(cloud: Cloud, path: str, user: str = "demo") -> list[int]:
    wrong = (f"marker={uuid.uuid4()}", "sort=nonsense", "sort=id:up", "sort=id&sort_key=id", "limit=-1", "offset=x")
    return [cloud.call("GET", f"{path}?{query}", user=user).status_code for query in wrong]


REFUSED = [404, 400, 400, 400, 400, 400]


@pytest.fixture
def kinds(cloud: Cloud) -> Iterator[list[str]]:
    names = ("page-b", "page-a")
    made = [cloud.ok("POST", "/types", {"volume_type": {"name": n}}, user="admin")["volume_type"]["id"] for n in names]
    yield made
    for kind in made:
        cloud.ok("DELETE", f"/types/{kind}", user="admin")


def test_types(cloud: Cloud, kinds: list[str]) -> None:
    every = [kind["id"] for kind in cloud.ok("GET", "/types")["volume_types"]]
    assert every[:2] == kinds[::-1], "newest first"
    assert pages(cloud, "/types?limit=1", "volume_types", "volume_type_links") == every
    named = cloud.ok("GET", "/types?sort=name:asc")["volume_types"]
    assert [kind["name"] for kind in named] == sorted(kind["name"] for kind in named)
    assert [kind["id"] for kind in cloud.ok("GET", f"/types?marker={kinds[1]}&limit=1")["volume_types"]] == [kinds[0]]
    assert refused(cloud, "/types") == REFUSED


def test_transfers_and_attachments(cloud: Cloud) -> None:
    volumes = [cloud.volume() for _ in range(2)]
    made = [cloud.ok("POST", "/volume-transfers", {"transfer": {"volume_id": v}})["transfer"]["id"] for v in volumes]
    place = "/volume-transfers"
    assert pages(cloud, f"{place}?limit=1", "transfers", "transfers_links") == made[::-1]
    assert pages(cloud, f"{place}/detail?limit=1&sort=created_at:asc", "transfers", "transfers_links") == made
    old = cloud.ok("GET", f"{place}?limit=1", version="3.58")["transfers"]
    assert [row["id"] for row in old] == made, "before 3.59 a list has no pages"
    assert refused(cloud, place) == REFUSED
    for transfer in made:
        cloud.ok("DELETE", f"{place}/{transfer}")
    held = [cloud.ok("POST", "/attachments", {"attachment": {"volume_uuid": v}})["attachment"]["id"] for v in volumes]
    mine = [a["id"] for a in cloud.ok("GET", "/attachments")["attachments"]]
    assert mine[:2] == held[::-1]
    after = cloud.ok("GET", f"/attachments?marker={held[1]}&limit=1")["attachments"]
    assert [a["id"] for a in after] == [held[0]]
    assert refused(cloud, "/attachments") == REFUSED
    for attachment in held:
        cloud.ok("DELETE", f"/attachments/{attachment}")
    for volume in volumes:
        cloud.delete(volume)


def test_messages(cloud: Cloud, images: ImageServer) -> None:
    volumes = []
    for _ in range(2):
        wanted = {"volume": {"size": 1, "imageRef": images.add(b"boot", os_hash_value="0" * 128)}}
        volumes.append(cloud.ok("POST", "/volumes", wanted)["volume"]["id"])
        cloud.settled(volumes[-1], "error")
    every = [m["id"] for m in cloud.ok("GET", "/messages")["messages"]]
    told = {m["resource_uuid"]: m["id"] for m in cloud.ok("GET", "/messages")["messages"]}
    assert [told[v] for v in volumes] == every[1::-1], "newest first"
    assert pages(cloud, "/messages?limit=1", "messages", "messages_links") == every
    seen = cloud.ok("GET", f"/messages?resource_uuid={volumes[0]}", user="admin")["messages"]
    assert [m["id"] for m in seen] == [told[volumes[0]]], "an administrator hears of every project"
    assert cloud.call("GET", "/messages?nonsense=1").status_code == 400
    assert len(cloud.ok("GET", "/messages?limit=1", version="3.4")["messages"]) == len(every)
    assert refused(cloud, "/messages") == REFUSED
    for volume in volumes:
        cloud.delete(volume)
