"""A host that fails builds gets the next ones last, until it has built one or the failure is long ago."""

from datetime import timedelta

import pytest
from sqlmodel import select

from infra.tables.compute import ComputeNode, now
from tests.frame.cloud import FrameCloud as Cloud

pytestmark = pytest.mark.asyncio(loop_scope="session")


def failures(cloud: Cloud) -> dict[str, int]:
    with cloud.database.read() as session:
        return {node.host: node.failed_builds for node in session.exec(select(ComputeNode))}


def forget(cloud: Cloud, ago: timedelta | None = None) -> None:
    """Every host's failures; with `ago` only when they were."""
    with cloud.database.write() as session:
        for node in session.exec(select(ComputeNode)):
            node.failed_builds = node.failed_builds if ago else 0
            node.failed_at = now() - ago if ago else None
            session.add(node)


async def test_it_comes_last_until_it_builds_one(cloud: Cloud) -> None:
    """Its memory stays free meanwhile, so that without this it would attract every build."""
    forget(cloud)

    async def built(**more: object) -> str:
        boot = await cloud.boot(cloud.request(**more))
        assert await cloud.end(boot) is None
        boots.append(boot)
        record = cloud.record(boot)
        assert record and record.host
        return record.host

    boots = [await cloud.boot(fail_after="spawn", kind="HostCannot", times=1, run_twice=True)]
    assert await cloud.end(boots[0]) is None
    good = (record := cloud.record(boots[0])) and record.host
    (bad,) = {"node1", "node2"} - {str(good)}
    assert failures(cloud) == {good: 0, bad: 1}, "counted once, though the step that counts ran twice"
    assert [await built(), await built()] == [good, good]
    forget(cloud, ago=timedelta(hours=2))
    assert await built() == bad, "that is long ago"
    assert failures(cloud) == {good: 0, bad: 0}, "and over, with what it built"
    for boot in boots:
        await cloud.delete(boot)
        await cloud.end(boot)


async def test_a_host_is_asked_when_no_other_will_do(cloud: Cloud) -> None:
    forget(cloud)
    boot = await cloud.boot(fail_before="spawn", kind="HostCannot")
    assert "No valid host" in str(await cloud.end(boot))
    assert failures(cloud) == {"node1": 1, "node2": 1}
    again = await cloud.boot(cloud.request())
    assert await cloud.end(again) is None
    await cloud.delete(again)
    await cloud.end(again)
    assert sorted(failures(cloud).values()) == [0, 1]
    forget(cloud)


async def test_what_is_no_host_s_fault_counts_for_none(cloud: Cloud) -> None:
    forget(cloud)
    boot = await cloud.boot(fail_before="spawn", kind="Hopeless")
    assert await cloud.end(boot) is not None
    assert set(failures(cloud).values()) == {0}
