"""Builds on a host that has the image already: there is no download to be watched, and `spawn` makes the disk along."""

import uuid
from collections.abc import Iterator

import pytest
from sqlmodel import select
from temporalio.client import WorkflowExecutionStatus

from infra.contracts.abilities import IMAGE_SIGNATURES, OF_THIS_RELEASE
from infra.tables.compute import ComputeNode
from tests.frame.cloud import FrameCloud as Cloud
from tests.frame.test_resize import abilities_are
from tests.workflows.acting import told
from tests.workflows.servers import HOSTS, instance_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


def reported(cloud: Cloud, images: object, *hosts: str) -> None:
    """As these hosts' heartbeats tell it; None: as one of an older release, which tells nothing."""
    with cloud.database.write() as session:
        for node in session.exec(select(ComputeNode)).all():
            if node.host in hosts:
                facts = {name: fact for name, fact in node.facts.items() if name != "images"}
                node.facts = facts if images is None else {**facts, "images": images}
                session.add(node)


@pytest.fixture
def image(cloud: Cloud) -> Iterator[str]:
    """One that all hosts have."""
    image = str(uuid.uuid4())
    reported(cloud, ["another", image], *HOSTS)
    yield image
    reported(cloud, None, *HOSTS)


async def test_its_disk_is_no_step_of_its_own(cloud: Cloud, image: str) -> None:
    boot = await cloud.boot(cloud.request(image_id=image))
    assert await cloud.end(boot) is None
    assert "spawn" in cloud.faults.ran and "fetch_to_host" not in cloud.faults.ran
    assert {"disk", "domain"} <= {thing[1] for thing in cloud.things.things() if instance_of(boot) in thing}
    await cloud.drop(boot)


async def test_the_event_list_tells_of_it_all_the_same(cloud: Cloud, image: str) -> None:
    """Before `spawn`, on its host, each with its own times."""
    boot = await cloud.boot(cloud.request(image_id=image))
    assert await cloud.end(boot) is None
    steps = await told(cloud, instance_of(boot))
    events = [step["event"] for step in steps]
    assert events.index("fetch_to_host") == events.index("spawn") - 1 and events.count("fetch_to_host") == 1
    disk, guest = steps[events.index("fetch_to_host")], steps[events.index("spawn")]
    assert disk["result"] == guest["result"] == "Success" and disk["host"] == guest["host"] in HOSTS
    assert disk["start_time"] <= disk["finish_time"] <= guest["start_time"] <= guest["finish_time"]
    await cloud.drop(boot)


@pytest.mark.parametrize("when", ["fail_before", "fail_after"])
@pytest.mark.parametrize("run_twice", [False, True])
async def test_the_disk_goes_when_spawn_fails(cloud: Cloud, image: str, when: str, run_twice: bool) -> None:
    boot = await cloud.boot(cloud.request(image_id=image), **{when: "spawn"}, run_twice=run_twice)
    assert "injected at spawn" in str(await cloud.end(boot))
    assert cloud.faults.ran.index("destroy") < cloud.faults.ran.index("remove_disk")
    assert await cloud.leaks() == []


async def test_the_disk_goes_when_a_later_or_an_earlier_step_fails(cloud: Cloud, image: str) -> None:
    for step in ("plug_ports", "attach_volumes", "mark_active"):
        boot = await cloud.boot(cloud.request(image_id=image), fail_after=step)
        assert f"injected at {step}" in str(await cloud.end(boot))
        assert "remove_disk" in cloud.faults.ran and await cloud.leaks() == [], step


async def test_a_delete_and_a_cancel_during_spawn(cloud: Cloud, image: str) -> None:
    for ends in (cloud.delete, cloud.cancel):
        boot = await cloud.boot(cloud.request(image_id=image), hold="spawn")
        await cloud.faults.held.wait()
        await ends(boot)
        cloud.faults.release.set()
        await cloud.end(boot)
        assert (await boot.describe()).status != WorkflowExecutionStatus.RUNNING
        assert await cloud.leaks() == []


async def test_a_host_that_cannot_is_left_for_one_without_the_image(cloud: Cloud, image: str) -> None:
    """And the other way round: each attempt goes by what its own host has."""
    for having in HOSTS:
        reported(cloud, [], *HOSTS)
        reported(cloud, [image], having)
        boot = await cloud.boot(cloud.request(image_id=image), fail_after="spawn", kind="HostCannot", times=1)
        assert await cloud.end(boot) is None
        assert cloud.faults.ran.count("spawn") == 2 and cloud.faults.ran.count("fetch_to_host") == 1
        assert await cloud.leaks() == []
        await cloud.drop(boot)


async def test_where_it_stays_a_step(cloud: Cloud, image: str) -> None:
    """On a host of an older release, which tells of no images; on one that tells nonsense; and where a signature is to
    be verified."""
    verifies = {host: sorted(OF_THIS_RELEASE | {IMAGE_SIGNATURES}) for host in HOSTS}
    for told_of, more in ((None, {}), ("nonsense", {}), ([image], {"trusted_certificates": ["a"]})):
        abilities_are(cloud, verifies)
        reported(cloud, told_of, *HOSTS)
        boot = await cloud.boot(cloud.request(image_id=image, **more))
        assert await cloud.end(boot) is None
        assert cloud.faults.ran.count("fetch_to_host") == 1
        await cloud.drop(boot)
    abilities_are(cloud, dict.fromkeys(HOSTS, sorted(OF_THIS_RELEASE)))
