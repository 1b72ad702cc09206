"""A server is shelved, leaves its host and comes back, with the real services: what each of them says meanwhile."""

import asyncio
import uuid
from typing import Any

import httpx
import pytest

from infra.contracts.volume import parted_id
from tests.workflows.acting import do, request, server
from tests.workflows.cloud import Cloud
from tests.workflows.servers import instance_of
from tests.workflows.test_images_of_servers import drop, images
from tests.workflows.test_interfaces_for_real import act

pytestmark = pytest.mark.asyncio(loop_scope="session")


def ask(cloud: Cloud, service: str, path: str) -> dict[str, Any]:
    headers = {"X-Auth-Token": cloud.token, "OpenStack-API-Version": "volume 3.44"}
    answer: dict[str, Any] = httpx.get(cloud.settings.url(service, path), headers=headers).json()
    return answer


async def made(cloud: Cloud) -> str:
    """A volume of the tenant's that is ready."""
    wish = {"volume": {"size": 1}}
    found = str((await asyncio.to_thread(cloud.post, "volume", "/v3/volumes", wish))["volume"]["id"])
    while ask(cloud, "volume", f"/v3/volumes/{found}")["volume"]["status"] == "creating":
        await asyncio.sleep(0.05)
    return found


async def test_shelved_and_back(cloud: Cloud) -> None:
    handle = await server(cloud, "shelve")
    record = cloud.record(handle)
    assert record is not None
    port, volume = record.networks[0]["port_id"], record.volumes[0]
    address = record.networks[0]["fixed_ips"]
    assert await do(cloud, handle, "shelve") is None
    image = images(cloud, handle)[0]
    assert (image["name"], image["status"], image["owner"]) == ("server-shelved", "active", cloud.project)
    assert await do(cloud, handle, "shelveOffload", run_twice=True) is None
    shown = ask(cloud, "network", f"/v2.0/ports/{port}")["port"]
    assert shown["device_id"] == instance_of(handle) and shown.get("binding:host_id", "") == ""
    assert ask(cloud, "volume", f"/v3/volumes/{volume['volume_id']}")["volume"]["status"] == "reserved"
    attachments = ask(cloud, "volume", f"/v3/attachments?volume_id={volume['volume_id']}")["attachments"]
    assert [each["id"] for each in attachments] == [volume["attachment_id"]]
    assert volume["attachment_id"] != parted_id(instance_of(handle), volume["volume_id"])
    assert await cloud.leaks() == []
    second = await made(cloud)
    await act(cloud, handle, "attach_volume", volume_id=second, attachment_id=str(uuid.uuid4()))
    record = cloud.record(handle)
    assert record is not None and record.volumes[-1]["device"] is None
    assert ask(cloud, "volume", f"/v3/volumes/{second}")["volume"]["status"] == "in-use", "as in Nova"
    assert await do(cloud, handle, "unshelve") is None
    record = cloud.record(handle)
    assert record is not None and [each["device"] for each in record.volumes] == ["vdb", "vdd"], "vdc is its own disk"
    assert record is not None and (record.vm_state, record.networks[0]["fixed_ips"]) == ("active", address)
    assert ask(cloud, "volume", f"/v3/volumes/{volume['volume_id']}")["volume"]["status"] == "in-use"
    assert images(cloud, handle) == [], "the image of a server that is not shelved any more is still there"
    await drop(cloud, handle)
    assert await cloud.leaks() == []


async def test_an_image_of_a_server_that_came_from_a_shelved_one_is_its_tenants(cloud: Cloud) -> None:
    """The mark is not inherited: it would have such an image deleted as the server's own."""
    shelved = await server(cloud, "unshelve")
    booted = await cloud.boot(cloud.request(image_id=images(cloud, shelved)[0]["id"]))
    assert await cloud.end(booted) is None
    assert await do(cloud, booted, "createImage") is None
    assert "kilonova_shelved" in images(cloud, shelved)[0] and "kilonova_shelved" not in images(cloud, booted)[0]
    for handle in (booted, shelved):
        await drop(cloud, handle)


async def test_a_shelved_server_takes_its_image_along(cloud: Cloud) -> None:
    handle = await server(cloud, "unshelve")
    assert len(images(cloud, handle)) == 1
    await drop(cloud, handle)
    assert images(cloud, handle) == [] and await cloud.leaks() == []


async def test_a_delete_while_it_is_shelved_leaves_no_image(cloud: Cloud) -> None:
    handle = await server(cloud, "shelve")
    cloud.faults.arm(hold="remove_snapshot")
    await cloud.ops.start(*request(cloud, handle, "shelve"))
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    assert [image["status"] for image in images(cloud, handle)] == ["active"]
    await cloud.delete(handle)
    cloud.faults.release.set()
    assert await cloud.end(handle) is None
    assert images(cloud, handle) == [] and await cloud.leaks() == []


async def test_an_image_that_outlived_its_server_is_found_and_deleted(cloud: Cloud) -> None:
    """Only one that follows from a request to shelve the server: what an image says of itself, its owner can write."""
    handle = await server(cloud, "unshelve")
    assert await do(cloud, handle, "unshelve", fail_before="drop_image", times=1) is None
    says_so = {"name": "mine", "instance_uuid": instance_of(handle), "kilonova_shelved": "True"}
    mine = cloud.post("image", "/v2/images", says_so)["id"]
    assert len(images(cloud, handle)) == 2
    report = await cloud.audit.audit(repair=True)
    assert (report.counts, report.left) == ({"image": 1}, 0)
    assert [image["id"] for image in images(cloud, handle)] == [mine]
    url = cloud.settings.url("image", f"/v2/images/{mine}")
    httpx.delete(url, headers={"X-Auth-Token": cloud.token}).raise_for_status()
    await drop(cloud, handle)
