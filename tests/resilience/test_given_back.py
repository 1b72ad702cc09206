"""What a build gave back is no longer its server's: nothing that happens to the server later may touch it."""

import asyncio
import uuid

import httpx
import pytest

from infra.contracts.volume import VolumeRequest
from tests.ids import stable_id
from tests.workflows.cloud import Cloud

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def volume_of(cloud: Cloud) -> str:
    made = cloud.post("volume", "/v3/volumes", {"volume": {"size": 1, "name": "tenant's"}})["volume"]["id"]
    await until(cloud, made, "available")
    return str(made)


async def until(cloud: Cloud, volume: str, wanted: str) -> None:
    for _ in range(100):
        if status(cloud, volume) == wanted:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{status(cloud, volume)} instead of {wanted}")


def status(cloud: Cloud, volume: str) -> str:
    url = cloud.settings.url("volume", f"/v3/volumes/{volume}")
    answer = httpx.get(url, headers={"X-Auth-Token": cloud.token})
    return str(answer.json()["volume"]["status"]) if answer.status_code == 200 else "gone"


def with_volume(cloud: Cloud, volume: str, *, goes: bool) -> dict[str, object]:
    id = str(uuid.uuid4())
    own = VolumeRequest(
        volume_id=volume, attachment_id=stable_id(id, "attachment/0"), delete_on_termination=goes, create=False
    )
    return {"instance_id": id, "volumes": [own]}


@pytest.mark.parametrize("used", [True, False], ids=["in use", "free again"])
async def test_a_failed_servers_delete_leaves_the_volume_it_gave_back(cloud: Cloud, used: bool) -> None:
    """Mechanism: Records.fail and `given_back` of the delete's plan. The volume was destroyed under its next owner."""
    volume = await volume_of(cloud)
    failed = await cloud.boot(cloud.request(**with_volume(cloud, volume, goes=True)), fail_after="spawn")
    assert await cloud.end(failed) is not None
    record = cloud.record(failed)
    assert record and record.vm_state == "error" and record.volumes == [] and record.networks == []
    await until(cloud, volume, "available")
    cloud.faults.arm()
    other = await cloud.boot(cloud.request(**with_volume(cloud, volume, goes=False)))
    assert await cloud.end(other) is None
    if not used:
        await cloud.delete(other)
        assert await cloud.end(other) is None
    await cloud.delete(failed)
    assert await cloud.end(failed) is None
    await until(cloud, volume, "in-use" if used else "available")


async def test_a_build_that_runs_again_has_its_volumes_again(cloud: Cloud) -> None:
    """Mechanism: `_again` of infra.stores.instances. What the ERROR record forgot is what the request says."""
    volume = await volume_of(cloud)
    request = cloud.request(**with_volume(cloud, volume, goes=True))
    failed = await cloud.boot(request, fail_after="spawn")
    assert await cloud.end(failed) is not None
    cloud.faults.arm()
    await cloud.ops.retry(cloud.requester(), request.instance_id)
    assert await cloud.end(failed) is None
    record = cloud.record(failed)
    assert record and [known["volume_id"] for known in record.volumes] == [volume]
    await cloud.delete(failed)
    assert await cloud.end(failed) is None
    await until(cloud, volume, "gone")


async def test_a_delete_of_a_running_build_leaves_the_tenants_volume(cloud: Cloud) -> None:
    """Mechanism: `cut_off` in `begin_delete`: the build's own undo gave the volume back before the delete began."""
    volume = await volume_of(cloud)
    boot = await cloud.boot(cloud.request(**with_volume(cloud, volume, goes=True)), hold="spawn")
    await cloud.faults.held.wait()
    await cloud.delete(boot)
    cloud.faults.release.set()
    assert await cloud.end(boot) is None
    await until(cloud, volume, "available")
