"""Lists: which filters are taken at which microversion, counts, pages, sorting; and what strange parameters get."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.volume.cloud import Cloud


@pytest.fixture(scope="module")
def three(whole_cloud: Cloud) -> Iterator[list[str]]:
    """Three volumes of the demo project, oldest first."""
    made = [whole_cloud.volume(name=f"sieve-{n}", size=n, metadata={"n": str(n)}) for n in (1, 2, 3)]
    yield made
    for volume in made:
        whole_cloud.delete(volume)


def ids(cloud: Cloud, query: str, three: list[str], version: str = "3.71", user: str = "demo") -> list[str]:
    listed = cloud.ok("GET", f"/volumes/detail?{query}", version=version, user=user)["volumes"]
    return [volume["id"] for volume in listed if volume["id"] in three]


def test_filters_by_microversion(cloud: Cloud, three: list[str]) -> None:
    assert ids(cloud, "name~=sieve&sort=size:asc", three) == three
    assert ids(cloud, "name~=eve-2", three, "3.34") == [three[1]]
    assert cloud.call("GET", "/volumes?name~=x", version="3.33").status_code == 400
    assert ids(cloud, "name~=x", three, "3.30") == three[::-1], "not understood yet, so ignored"
    assert ids(cloud, "size=2", three) == [three[1]]
    assert ids(cloud, "bootable=false&status=available&availability_zone=nova", three) == three[::-1]
    moment = cloud.ok("GET", f"/volumes/{three[1]}")["volume"]["created_at"]
    assert ids(cloud, f"created_at=gt:{moment}", three) == [three[2]]
    assert ids(cloud, f"created_at=gte:{moment},lte:{moment}", three) == [three[1]]
    assert ids(cloud, f"created_at=lt:{quote(moment + '+00:00')}", three, "3.60") == [three[0]]
    assert ids(cloud, f"created_at=gt:{moment}", three, "3.59") == three[::-1], "since 3.60"


def test_filters_that_nobody_knows(cloud: Cloud, three: list[str]) -> None:
    refused = cloud.call("GET", "/volumes?color=red&host=x", version="3.31")
    assert refused.status_code == 400
    assert refused.json()["badRequest"]["message"] == "Invalid filters color,host are found in query options."
    assert ids(cloud, "color=red", three, "3.30") == three[::-1]
    assert ids(cloud, "all_tenants=1&color=red", three, user="admin") == [], "an administrator's finds nothing"
    assert cloud.call("GET", "/attachments?color=red").status_code == 400
    assert cloud.call("GET", "/snapshots?color=red").status_code == 400


def test_pages_and_counts(cloud: Cloud, three: list[str]) -> None:
    body = cloud.ok("GET", "/volumes?name~=sieve&with_count=true&limit=2&sort=size:asc")
    assert body["count"] == 3 and [v["id"] for v in body["volumes"]] == three[:2]
    assert "count" not in cloud.ok("GET", "/volumes?name~=sieve&with_count=true", version="3.44")
    link = body["volumes_links"][0]["href"]
    headers = {"X-Auth-Token": cloud.token("demo"), "OpenStack-API-Version": "volume 3.71"}
    assert [v["id"] for v in cloud.http.get(link, headers=headers).json()["volumes"]] == three[2:]
    assert ids(cloud, "name~=sieve&offset=1&sort=size:asc", three) == three[1:]
    assert cloud.ok("GET", "/volumes?limit=0")["volumes"] == []
    summary = cloud.ok("GET", "/volumes/summary?name~=sieve")["volume-summary"]
    assert summary == {"total_count": 3, "total_size": 6, "metadata": {"n": ["1", "2", "3"]}}
    assert cloud.call("GET", "/volumes/summary", version="3.11").status_code == 404


def test_filters_are_told(cloud: Cloud) -> None:
    told = {f["resource"]: f["filters"] for f in cloud.ok("GET", "/resource_filters")["resource_filters"]}
    assert "name~" in told["volume"] and "volume_id" in told["snapshot"]
    (one,) = cloud.ok("GET", "/resource_filters?resource=backup")["resource_filters"]
    assert one["resource"] == "backup"
    assert cloud.call("GET", "/resource_filters", version="3.32").status_code == 404


STRANGE = [
    ("/volumes?limit=²", 400),
    ("/volumes?limit=99999999999999999999999", 400),
    ("/volumes?limit=-1", 400),
    ("/volumes?offset=9223372036854775808", 400),
    ("/volumes?sort=" + ",".join(["size:asc", "name:desc"] * 400), 200),
    ("/volumes?sort=size:up", 400),
    ("/volumes?sort=size&sort_key=size", 400),
    ("/volumes?size=99999999999999999999", 200),
    ("/volumes?size=4294967296", 200),
    ("/volumes?metadata=" + quote("(" * 3000), 400),
    ("/volumes?metadata=" + quote("{[]: 1}"), 400),
    ("/volumes?metadata=" + quote("-" * 3000 + "1"), 400),
    ("/volumes?metadata=%5B%5D", 400),
    ("/volumes?created_at=gt:0001-01-01T00:00:00%2B14:00", 400),
    ("/volumes?created_at=lt:9999-12-31T23:59:59-14:00", 400),
    ("/volumes?created_at=gt:9999-12-31T23:59:59", 200),
    ("/volumes?created_at=around:2020-01-01", 400),
    ("/volumes?bootable=perhaps", 400),
    ("/volumes?name=%00", 400),
    ("/volumes?marker=%ED%A0%80", 404),
    ("/volumes/%00", 404),
    ("/volumes/" + "x" * 5000, 404),
    ("/attachments?limit=²", 400),
    ("/messages?offset=-1", 400),
    ("/volume-transfers?limit=1e3", 400),
    ("/snapshots?sort=nonsense", 400),
    ("/types/%E6%97%A5", 404),
    ("/os-quota-sets/%00?usage=x", 404),
]


@pytest.mark.parametrize(("path", "status"), STRANGE, ids=[path[:40] for path, _ in STRANGE])
def test_strange_parameters(cloud: Cloud, path: str, status: int) -> None:
    answer = cloud.call("GET", path)
    assert answer.status_code in (status, 400), answer.text[:200]
    assert cloud.call("GET", "/volumes?limit=1").status_code == 200, "the connection still answers"


BODIES = [
    ("/volumes", '{"volume": {"size": 1, "name": "\\ud800"}}'),
    ("/volumes", '{"volume": {"size": 1, "metadata": {"a": "\\u0000"}}}'),
    ("/volumes", '{"volume": {"size": 99999999999999999999999}}'),
    ("/volumes", '{"volume": {"size": 1e400}}'),
    ("/volumes", '{"volume": {"size": NaN}}'),
    ("/volumes", '{"volume": {"size": true}}'),
    ("/volumes", '{"volume": [[[]]]}'),
    ("/volumes", "[" * 20000),
    ("/volumes", "\x00\xff"),
    ("/volumes", '{"volume": {"size": 1, "snapshot_id": "²"}}'),
    ("/volumes", '{"volume": {"size": 1, "imageRef": "../../etc"}}'),
    ("/attachments", '{"attachment": {"volume_uuid": "x"}}'),
    ("/types", '{"volume_type": {"name": ""}}'),
    ("/os-volume-transfer", '{"transfer": {}}'),
]


@pytest.mark.parametrize(("path", "body"), BODIES, ids=[f"{path}-{n}" for n, (path, _) in enumerate(BODIES)])
def test_strange_bodies(cloud: Cloud, path: str, body: str) -> None:
    headers = {
        "X-Auth-Token": cloud.token("admin"),
        "OpenStack-API-Version": "volume 3.71",
        "Content-Type": "application/json",
    }
    answer = cloud.http.post(
        cloud.settings.url("volume", f"/v3{path}"), content=body.encode("latin-1"), headers=headers
    )
    assert 400 <= answer.status_code < 500, answer.text[:200]


def test_a_lone_surrogate_breaks_no_list(cloud: Cloud, three: list[str]) -> None:
    """Issue: a reader's lone surrogate in an attachment or in image metadata answered the admin's list with 500."""
    for body in (
        '{"os-set_image_metadata": {"metadata": {"a": "\\ud800"}}}',
        '{"os-initialize_connection": {"connector": {"host": "\\ud800"}}}',
        '{"os-attach": {"mountpoint": "\\ud800", "host_name": "x"}}',
    ):
        path = cloud.settings.url("volume", f"/v3/volumes/{three[0]}/action")
        headers = {"X-Auth-Token": cloud.token("demo"), "Content-Type": "application/json"}
        assert cloud.http.post(path, content=body, headers=headers).status_code == 400
    assert cloud.ok("GET", "/volumes/detail?all_tenants=1", user="admin")["volumes"]
