"""A server that is copied is what its workflows would have made; one that is only taken away leaves what its delete
would have left."""

import pytest

from infra.tables.compute import Instance
from tests.frame.cloud import FrameCloud as Cloud
from tests.frame.copies import Copies
from tests.frame.test_actions import state
from tests.workflows.acting import OF_A_VOLUME, Handle, do, of_a_volume, server
from tests.workflows.servers import instance_of
from tests.workflows.ways import SOFT_DELETE, WAYS

pytestmark = pytest.mark.asyncio(loop_scope="session")
STARTS = {way.before: name for name, way in WAYS.items() if SOFT_DELETE not in way.before}


def like(cloud: Cloud, handle: Handle) -> str:
    return cloud.copies.likeness(cloud.things, instance_of(handle))


@pytest.fixture
def nothing_copied_yet(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud, "copies", Copies(cloud.database, cloud.ring))


@pytest.mark.turns
@pytest.mark.usefixtures("nothing_copied_yet", "quick")
@pytest.mark.parametrize("before", [*STARTS, OF_A_VOLUME], ids=" ".join)
async def test_a_copy_is_what_was_built(cloud: Cloud, before: tuple[str, ...]) -> None:
    """For the state from which each action begins."""

    async def another() -> Handle:
        return await (of_a_volume(cloud) if before == OF_A_VOLUME else server(cloud, STARTS[before]))

    built, copied = await another(), await another()
    assert like(cloud, copied) == like(cloud, built)
    assert state(cloud, copied) == state(cloud, built)
    for handle in (built, copied):
        await cloud.delete(handle)
        assert await cloud.end(handle) is None
        assert cloud.of(instance_of(handle)) == []
    assert await cloud.leaks() == []


async def test_what_a_delete_reads_tells_servers_apart(cloud: Cloud) -> None:
    one, other = await server(cloud, "pause"), await server(cloud, "pause")
    assert like(cloud, one) == like(cloud, other)
    thing = next(each for each in cloud.things.anywhere if each[:2] == ("port", instance_of(one)))
    cloud.things.anywhere.discard(thing)
    assert like(cloud, one) != like(cloud, other)
    cloud.things.anywhere.add(thing)
    with cloud.database.write() as session:
        row = session.get_one(Instance, instance_of(one))
        ports, row.requested_ports = row.requested_ports, {}
    assert like(cloud, one) != like(cloud, other)
    with cloud.database.write() as session:
        session.get_one(Instance, instance_of(one)).requested_ports = ports
    assert await do(cloud, other, "pause") is None
    assert like(cloud, one) != like(cloud, other)


async def test_one_that_is_taken_away_leaves_what_a_delete_leaves(cloud: Cloud) -> None:
    for _ in range(3):
        handle = await server(cloud, "pause")
        assert cloud.of(instance_of(handle))
        await cloud.drop(handle)
        assert cloud.of(instance_of(handle)) == [] and await cloud.leaks() == []
    assert cloud.record(handle) is None, "the second was taken away"


async def test_one_that_would_leave_something_is_not_taken_for_one_that_went(cloud: Cloud) -> None:
    handle = await server(cloud, "pause")
    forgotten = ("port", instance_of(handle), "of nobody")
    cloud.things.anywhere.add(forgotten)
    with pytest.raises(AssertionError):
        await cloud.drop(handle)
    assert cloud.of(instance_of(handle)) == [("", *forgotten)]
    cloud.things.anywhere.discard(forgotten)
