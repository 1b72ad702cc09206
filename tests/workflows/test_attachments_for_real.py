"""What becomes of a volume with its server, told to the volume service, too: the audit removes by its word. What the
volume service tells of its size is looked at there."""

import httpx
import pytest

from infra.contracts.volume import GOES_WITH_IT
from tests.workflows.cloud import Cloud
from tests.workflows.test_interfaces_for_real import act

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_volume_that_is_kept_outlives_its_server_and_the_audit(cloud: Cloud) -> None:
    boot = await cloud.boot()
    assert await cloud.end(boot) is None
    record = cloud.record(boot)
    assert record
    (held,) = record.volumes
    url = cloud.settings.url("volume", f"/v3/volumes/{held['volume_id']}")

    def mark() -> str:
        shown = httpx.get(url, headers={"X-Auth-Token": cloud.token}).json()["volume"]
        return str(shown["metadata"][GOES_WITH_IT])

    assert (held["delete_on_termination"], mark()) == (True, "True")
    await act(cloud, boot, "update_attachment", volume_id=held["volume_id"], delete_on_termination=False)
    record = cloud.record(boot)
    assert record and record.volumes == [held | {"delete_on_termination": False}]
    assert mark() == "False"
    await act(cloud, boot, "extend_volume", volume_id=held["volume_id"])
    await cloud.delete(boot)
    await cloud.end(boot)
    assert await cloud.leaks() == []
    assert httpx.delete(url, headers={"X-Auth-Token": cloud.token}).status_code == 202
