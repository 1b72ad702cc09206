"""Lists: filters, order, pages."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.image.cloud import Api, Cloud


@pytest.fixture(scope="module")
def shelf(cloud: Cloud) -> Api:
    """A project with four images."""
    api = cloud.tenant()
    api.active(b"1", name="one", min_ram=64, tags=["red", "small"], os_distro="debian")
    api.active(b"22", name="two", min_ram=128, tags=["red"], disk_format="iso", container_format="ova")
    api.create(name="three, or so", disk_format=None, os_distro="fedora", protected=True)
    api.create(name=None, os_hidden=True)
    return api


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, ["three, or so", "two", "one"]),
        ({"name": "one"}, ["one"]),
        ({"name": "in:one,two"}, ["two", "one"]),
        ({"name": 'in:"three, or so",one'}, ["three, or so", "one"]),
        ({"name": "absent"}, []),
        ({"status": "active"}, ["two", "one"]),
        ({"status": "in:queued,active"}, ["three, or so", "two", "one"]),
        ({"disk_format": "in:iso,qcow2"}, ["two"]),
        ({"container_format": "ova"}, ["two"]),
        ({"tag": "red"}, ["two", "one"]),
        ({"tag": ["red", "small"]}, ["one"]),
        ({"min_ram": "128"}, ["two"]),
        ({"size_min": "2"}, ["two"]),
        ({"size_max": "1"}, ["one"]),
        ({"protected": "True"}, ["three, or so"]),
        ({"os_hidden": "true"}, [None]),
        ({"os_distro": "debian"}, ["one"]),
        ({"os_distro": "debian", "status": "queued"}, []),
        ({"visibility": "shared"}, ["three, or so", "two", "one"]),
        ({"visibility": "private"}, []),
        ({"owner": "nobody"}, []),
        ({"created_at": "gt:2020-01-01T00:00:00Z"}, ["three, or so", "two", "one"]),
        ({"updated_at": "lt:2020-01-01T00:00:00"}, []),
        ({"sort": "name:asc"}, ["one", "three, or so", "two"]),
        ({"sort": "size:desc,name:asc"}, ["two", "one", "three, or so"]),
        ({"sort_key": ["disk_format", "name"], "sort_dir": ["asc", "desc"]}, ["three, or so", "two", "one"]),
        ({"sort_key": "created_at", "sort_dir": "asc"}, ["one", "two", "three, or so"]),
        ({"limit": "0"}, []),
    ],
)
def test_filters_and_order(shelf: Api, query: dict[str, str], names: list[str]) -> None:
    found = shelf.names(**query)
    assert found == names


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "many"},
        {"limit": "-1"},
        {"limit": "²"},
        {"marker": "unknown"},
        {"sort": "colour"},
        {"sort": "name:up"},
        {"sort": "name", "sort_key": "name"},
        {"sort_key": ["name", "id", "size"], "sort_dir": ["asc", "desc"]},
        {"visibility": "everyone"},
        {"member_status": "maybe"},
        {"min_ram": "lots"},
        {"size_min": "²"},
        {"protected": "perhaps"},
        {"created_at": "gt:yesterday"},
        {"name": 'in:"open'},
        {"name": "nul\0"},
    ],
)
def test_bad_queries(shelf: Api, query: dict[str, str]) -> None:
    shelf.call("GET", "/images", 400, params=query)


def test_ids_in_one_query(shelf: Api) -> None:
    ids = [image["id"] for image in shelf.call("GET", "/images", 200)["images"]]
    found = shelf.call("GET", "/images", 200, params={"id": f"in:{ids[0]},{ids[2]}"})["images"]
    assert {image["id"] for image in found} == {ids[0], ids[2]}


@pytest.mark.parametrize(
    "sort", ["created_at:desc", "name:asc", "size:asc,disk_format:desc", "updated_at:asc", "id:desc"]
)
def test_pages_have_everything_once_and_in_order(cloud: Cloud, shelf: Api, sort: str) -> None:
    whole = [image["id"] for image in shelf.call("GET", "/images", 200, params={"sort": sort})["images"]]
    seen: list[str] = []
    page = shelf.call("GET", "/images", 200, params={"sort": sort, "limit": 1})
    while True:
        assert len(page["images"]) == 1
        seen += [image["id"] for image in page["images"]]
        if "next" not in page:
            break
        query = dict(parse_qsl(urlsplit(page["next"]).query))
        assert query == {"sort": sort, "limit": "1", "marker": seen[-1]}
        page = shelf.call("GET", page["next"].removeprefix("/v2"), 200)
    assert seen == whole and len(whole) == 3


def test_default_page_is_25(demo: Api) -> None:
    for n in range(27):
        demo.create(name=f"i{n}")
    first = demo.call("GET", "/images", 200)
    assert len(first["images"]) == 25 and first["first"] == "/v2/images"
    assert len(demo.call("GET", first["next"].removeprefix("/v2"), 200)["images"]) == 2
