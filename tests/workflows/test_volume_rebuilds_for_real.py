"""rebuild of a server that boots from a volume, with the real image and volume services: what is on the volume then."""

import uuid
from typing import Any

import httpx
import pytest

from infra.contracts.volume import VolumeRequest
from tests.workflows.acting import Handle, request
from tests.workflows.cloud import Cloud
from tests.workflows.test_images_of_servers import drop

pytestmark = pytest.mark.asyncio(loop_scope="session")
MIB = 1 << 20


def image(cloud: Cloud, data: bytes) -> str:
    body = {"name": "root", "disk_format": "raw", "container_format": "bare"}
    made = cloud.post("image", "/v2/images", body)
    headers = {"X-Auth-Token": cloud.token, "Content-Type": "application/octet-stream"}
    httpx.put(cloud.settings.url("image", f"/v2/images/{made['id']}/file"), content=data, headers=headers)
    return str(made["id"])


def volume(cloud: Cloud, volume_id: str) -> dict[str, Any]:
    url = cloud.settings.url("volume", f"/v3/volumes/{volume_id}")
    shown: dict[str, Any] = httpx.get(url, headers={"X-Auth-Token": cloud.token}).json()["volume"]
    return shown


def written(cloud: Cloud, volume_id: str) -> bytes:
    root = cloud.settings.state_dir / "volumes"
    (file,) = [path for path in root.rglob(f"*{volume_id}*") if path.is_file()]
    with file.open("rb") as stored:
        return stored.read(5)


async def rebuild(cloud: Cloud, handle: Handle, volume_id: str, image_id: str, **faults: Any) -> BaseException | None:
    action, wanted = request(cloud, handle, "rebuild")
    body = {**wanted.body, "image_id": image_id, "volume_id": volume_id}
    cloud.faults.arm(**faults)
    await cloud.ops.start(action, wanted.model_copy(update={"body": body}))
    return await cloud.end(handle)


async def test_the_volume_has_the_new_image_and_is_the_servers(cloud: Cloud) -> None:
    first, second = image(cloud, b"first".ljust(MIB, b"\0")), image(cloud, b"other".ljust(MIB, b"\0"))
    root = VolumeRequest(
        volume_id=str(uuid.uuid4()),
        attachment_id=str(uuid.uuid4()),
        create=True,
        size_gb=1,
        image_id=first,
        boot_index=0,
        delete_on_termination=True,
    )
    handle = await cloud.boot(cloud.request(image_id="", volumes=[root]))
    assert await cloud.end(handle) is None
    id = root.volume_id
    assert written(cloud, id) == b"first"
    assert await rebuild(cloud, handle, id, second, run_twice=True) is None
    shown = volume(cloud, id)
    assert (written(cloud, id), shown["status"]) == (b"other", "in-use")
    assert shown["volume_image_metadata"]["image_id"] == second
    (attachment,) = shown["attachments"]
    assert (attachment["attachment_id"], attachment["server_id"]) == (root.attachment_id, handle.id[7:])
    nothing = str(uuid.uuid4())
    assert "Invalid image identifier" in str(await rebuild(cloud, handle, id, nothing))
    record = cloud.record(handle)
    assert record and record.vm_state == "error" and volume(cloud, id)["status"] == "reserved"
    assert await rebuild(cloud, handle, id, first) is None
    assert (written(cloud, id), volume(cloud, id)["status"]) == (b"first", "in-use")
    assert await cloud.leaks() == []
    await drop(cloud, handle)
    assert await cloud.leaks() == []
