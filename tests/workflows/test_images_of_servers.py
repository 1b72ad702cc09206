"""Images made of servers, in the real image service: active or gone, in the tenant's name, as Nova describes them."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from api.common.errors import ServiceError
from tests.workflows.acting import Handle, do, request, server
from tests.workflows.cloud import Cloud
from workflows.create_image import id_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def drop(cloud: Cloud, handle: Handle) -> None:
    cloud.faults.arm()
    await cloud.delete(handle)
    assert await cloud.end(handle) is None


def images(cloud: Cloud, handle: Handle) -> list[dict[str, Any]]:
    """Those of one server, whatever their status."""
    id = handle.id.removeprefix("server-")
    url = cloud.settings.url("image", f"/v2/images?instance_uuid={id}&sort=created_at:desc")
    found: list[dict[str, Any]] = httpx.get(url, headers={"X-Auth-Token": cloud.token}).json()["images"]
    return found


@pytest.mark.parametrize(("asked", "kind"), [(None, "snapshot"), ("test", "test"), ("backup", "snapshot")])
async def test_an_image_is_active_and_says_whose_it_is(cloud: Cloud, asked: str | None, kind: str) -> None:
    """Of which type it is its metadata may say, as in Nova; but not that it is a backup, which rotates."""
    handle = await server(cloud, "createImage")
    action, wanted = request(cloud, handle, "createImage")
    if asked:
        told = {**wanted.body, "metadata": {**wanted.body["metadata"], "image_type": asked}}
        wanted = wanted.model_copy(update={"body": told})
    cloud.faults.arm()
    accepted = await cloud.ops.start(action, wanted)
    assert accepted.answer == {"image_id": id_of(wanted)}
    assert await cloud.end(handle) is None
    image = images(cloud, handle)[0]
    record = cloud.record(handle)
    assert record is not None
    assert (image["id"], image["status"], image["visibility"]) == (id_of(wanted), "active", "private")
    assert (image["name"], image["a"], image["image_type"]) == ("copy", "b", kind)
    assert (image["owner"], image["base_image_ref"]) == (cloud.project, record.image_ref)
    assert image["size"] > 0
    await drop(cloud, handle)


@pytest.mark.turns
@pytest.mark.parametrize("step", ["create_image", "take_snapshot", "upload_snapshot", "remove_snapshot"])
@pytest.mark.parametrize("when", ["fail_before", "fail_after"])
async def test_it_is_active_or_gone_wherever_it_fails(cloud: Cloud, step: str, when: str) -> None:
    handle = await server(cloud, "createImage")
    cloud.faults.arm(**{when: step}, times=1)
    action, wanted = request(cloud, handle, "createImage")
    try:
        await cloud.ops.start(action, wanted)
    except ServiceError:
        assert step == "create_image"
    assert await cloud.end(handle) is not None
    uploaded = step == "remove_snapshot" or (step, when) == ("upload_snapshot", "fail_after")
    assert [image["status"] for image in images(cloud, handle)] == (["active"] if uploaded else [])
    await drop(cloud, handle)


async def test_a_delete_meanwhile_takes_the_unfinished_image_along(cloud: Cloud) -> None:
    handle = await server(cloud, "createImage")
    cloud.faults.arm(hold="upload_snapshot")
    await cloud.ops.start(*request(cloud, handle, "createImage"))
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    assert [image["status"] for image in images(cloud, handle)] == ["queued"]
    await cloud.delete(handle)
    cloud.faults.fail_before = "upload_snapshot"
    cloud.faults.release.set()
    assert await cloud.end(handle) is None
    assert images(cloud, handle) == []
    assert await cloud.leaks() == []


async def test_backups_are_rotated(cloud: Cloud) -> None:
    handle = await server(cloud, "createBackup")
    assert await do(cloud, handle, "createImage") is None
    made = []
    for _ in range(2):
        action, wanted = request(cloud, handle, "createBackup")
        await cloud.ops.start(action, wanted)
        assert await cloud.end(handle) is None
        made.append(id_of(wanted))
    kinds = {image["id"]: (image["image_type"], image.get("backup_type")) for image in images(cloud, handle)}
    assert kinds.pop(made[1]) == ("backup", "daily")
    assert list(kinds.values()) == [("snapshot", None)], "the rotation took what is no backup, or kept one too many"
    await drop(cloud, handle)


def snapshots(cloud: Cloud, devices: list[dict[str, Any]]) -> list[str]:
    """Status of each snapshot that an image points to, "" for one that is gone."""
    answers = [
        httpx.get(
            cloud.settings.url("volume", f"/v3/snapshots/{device['snapshot_id']}"),
            headers={"X-Auth-Token": cloud.token},
        )
        for device in devices
    ]
    return [answer.json()["snapshot"]["status"] if answer.status_code == 200 else "" for answer in answers]


async def copied(cloud: Cloud, handle: Handle, **faults: Any) -> tuple[str, BaseException | None]:
    """createImage of a server that boots from a volume: the image's id, and how it ended."""
    cloud.faults.arm(**faults, times=1)
    action, wanted = request(cloud, handle, "createImage")
    record = cloud.record(handle)
    assert record is not None
    body = {**wanted.body, "sizes": {record.volumes[0]["volume_id"]: 1}}
    accepted = await cloud.ops.start(action, wanted.model_copy(update={"body": body}))
    return str(accepted.answer["image_id"]), await cloud.end(handle)


async def test_of_a_server_that_boots_from_a_volume(cloud: Cloud) -> None:
    """The image has no data and names a snapshot of each volume; both are there, or neither."""
    handle = await cloud.boot(cloud.request(image_id=""))
    assert await cloud.end(handle) is None
    done, error = await copied(cloud, handle)
    assert error is None
    _, error = await copied(cloud, handle, fail_before="fill_empty_image")
    assert "injected at fill_empty_image" in str(error)
    late, error = await copied(cloud, handle, fail_after="fill_empty_image")
    assert "injected at fill_empty_image" in str(error)
    assert {image["id"] for image in images(cloud, handle)} == {done, late}, "an image that is active stays"
    devices = []
    for image in images(cloud, handle):
        assert (image["status"], image["size"], image["bdm_v2"], image["a"]) == ("active", 0, "True", "b")
        (device,) = json.loads(image["block_device_mapping"])
        assert (device["source_type"], device["destination_type"], device["volume_size"]) == ("snapshot", "volume", 1)
        devices.append(device)
    assert snapshots(cloud, devices) == ["available", "available"]
    record = cloud.record(handle)
    assert record is not None
    url = cloud.settings.url("volume", f"/v3/snapshots?volume_id={record.volumes[0]['volume_id']}")
    left = httpx.get(url, headers={"X-Auth-Token": cloud.token}).json()["snapshots"]
    assert {each["id"] for each in left} == {device["snapshot_id"] for device in devices}, "one of no image stayed"
    for each in left:
        httpx.delete(cloud.settings.url("volume", f"/v3/snapshots/{each['id']}"), headers={"X-Auth-Token": cloud.token})
    await drop(cloud, handle)
