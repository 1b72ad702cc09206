"""Each end, retry and move is counted once. Switched off by: any `metrics.` call taken out of workflows/."""

import re

import httpx
import pytest

from infra.codec import KeyRing
from infra.stores.instances import Records
from tests.workflows.beside import beside
from tests.workflows.cloud import Cloud
from tests.workflows.servers import instance_of
from workers.control import report

pytestmark = pytest.mark.asyncio(loop_scope="session")


def value(text: str, name: str, **labels: str) -> float:
    """Sum of the series that have these labels."""
    total = 0.0
    for line in text.splitlines():
        series, _, number = line.rpartition(" ")
        if re.match(rf"{name}(\{{|$)", series) and all(f'{k}="{v}"' in series for k, v in labels.items()):
            total += float(number)
    return total


async def one_of_each(cloud: Cloud) -> None:
    for faults in (
        {},
        {"fail_after": "spawn"},
        {"fail_after": "spawn", "kind": "HostCannot", "times": 1},
        {"fail_before": "spawn", "kind": "Transient", "times": 2},
        {"fail_before": "mark_active", "kind": "Transient", "times": 1},
        {"fail_before": "validate_token"},
    ):
        boot = await cloud.boot(**faults)
        await cloud.end(boot)
        cloud.faults.arm()
        if cloud.record(boot):
            await cloud.delete(boot)
            await cloud.end(boot)
    boot = await cloud.boot(hold="spawn")
    await cloud.faults.held.wait()
    await cloud.cancel(boot)
    cloud.faults.release.set()
    await cloud.end(boot)
    boot = await cloud.boot(hold="spawn")
    await cloud.faults.held.wait()
    await cloud.delete(boot)
    cloud.faults.release.set()
    await cloud.end(boot)


@pytest.mark.parametrize("cached", [100, 0])
async def test_ends_steps_and_retries(cloud: Cloud, cached: int) -> None:
    """With no cache all workflow code runs again and again, which must not count again."""
    port = cloud.settings.port("metrics") + cached + 1
    async with beside(cloud, f"metrics-{cached}", metrics_port=port) as other, other.workers(cached=cached):
        await one_of_each(other)
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    ends = {end: value(text, "kilonova_builds_total", end=end) for end in ("active", "error", "cancelled", "deleted")}
    assert ends == {"active": 4, "error": 1, "cancelled": 1, "deleted": 1}
    assert value(text, "kilonova_builds_total", end="refused") == 1
    assert value(text, "kilonova_builds_total") == 8
    assert value(text, "kilonova_reschedules_total") == 1
    assert value(text, "kilonova_deletes_total") == 6
    assert value(text, "kilonova_step_retries_total", step="spawn") == 2
    assert value(text, "kilonova_step_retries_total", step="mark_active") == 1
    assert value(text, "kilonova_step_seconds_count", step="spawn") == 8  # the held ones end as they like
    assert value(text, "kilonova_step_seconds_count", step="spawn", result="success") >= 4
    assert value(text, "kilonova_step_seconds_count", step="spawn", result="error") >= 2
    assert value(text, "kilonova_step_seconds_sum", step="claim_host") > 0
    assert "node" not in "".join(re.findall(r"kilonova_\w+\{[^}]*", text))
    assert await cloud.leaks() == []


async def test_parked_builds_are_counted_where_they_are_recorded(cloud: Cloud) -> None:
    boot = await cloud.boot()
    await cloud.end(boot)
    records = Records(cloud.database, KeyRing.load(cloud.settings.codec_keys))
    before = report(cloud.database)
    records.park(instance_of(boot), "spawn: no")
    assert report(cloud.database) == before + 1
    await cloud.delete(boot)
    await cloud.end(boot)
    assert report(cloud.database) == before
