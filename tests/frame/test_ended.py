"""An attachment that was ended behind its server's back: whatever would make it anew is refused, before anything of the
guest ends; once the volume is detached the server goes on."""

import asyncio
from typing import Any

import pytest

from tests.frame.cloud import FrameCloud
from tests.frame.test_actions import state
from tests.frame.test_outages import row
from tests.frame.world import ENDED
from tests.workflows.acting import Handle, begun, do, of_a_volume, request, server
from tests.workflows.servers import instance_of
from tests.workflows.ways import ELSEWHERE

pytestmark = pytest.mark.asyncio(loop_scope="session")
OFFLOADED = ("shelved_offloaded", None)


def end_attachments(cloud: FrameCloud, handle: Handle) -> None:
    cloud.things.anywhere -= attachments(cloud, handle)


def attachments(cloud: FrameCloud, handle: Handle) -> set[tuple[str, str, str]]:
    return {thing for thing in cloud.things.anywhere if thing[:2] == ("attachment", instance_of(handle))}


async def asked(cloud: FrameCloud, handle: Handle, name: str, **body: Any) -> BaseException | None:
    action, wanted = request(cloud, handle, name)
    cloud.faults.arm()
    await cloud.ops.start(action, wanted.model_copy(update={"body": wanted.body | body}))
    return await cloud.end(handle)


async def detached(cloud: FrameCloud, handle: Handle) -> None:
    """As its owner does, or a look."""
    for volume in row(cloud, handle).volumes or []:
        assert await asked(cloud, handle, "detach_volume", volume_id=volume["volume_id"]) is None


async def dropped(cloud: FrameCloud, handle: Handle) -> None:
    """The volume is what was detached from the server, and outlives it."""
    cloud.things.anywhere -= {thing for thing in cloud.things.anywhere if thing[:2] == ("volume", instance_of(handle))}
    await cloud.drop(handle)


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        (ELSEWHERE, "leave_host"),
        ("revertResize elsewhere", "destroy"),
        ("revertResize", "bring_back"),
        ("unrescue", "bring_back"),
        ("swap_volume", "swap_disk"),
    ],
)
async def test_what_ends_a_guest_is_refused_before(cloud: FrameCloud, name: str, ending: str) -> None:
    handle = await server(cloud, name)
    before, things = state(cloud, handle), set(cloud.of(instance_of(handle)))
    end_attachments(cloud, handle)
    assert ENDED in str(await do(cloud, handle, name))
    assert ending not in cloud.faults.ran and state(cloud, handle) == before
    assert row(cloud, handle).power_state == cloud.things.power[instance_of(handle)] == 1
    assert attachments(cloud, handle) == set()
    assert set(cloud.of(instance_of(handle))) == {thing for thing in things if thing[1] != "attachment"}
    if name != "swap_volume":
        await forgotten(cloud, handle)
        assert await do(cloud, handle, name) is None
        assert attachments(cloud, handle) == set()
    await dropped(cloud, handle)


async def forgotten(cloud: FrameCloud, handle: Handle) -> None:
    if state(cloud, handle)[0] == "rescued":
        with cloud.database.write() as session:
            session.get_one(type(row(cloud, handle)), instance_of(handle)).volumes = []
    else:
        await detached(cloud, handle)


async def test_a_server_without_a_host_stays_without_one(cloud: FrameCloud) -> None:
    """Mechanism: `held`. What the host that tried has of the server is undone there."""
    handle = await server(cloud, "unshelve")
    things = set(cloud.of(instance_of(handle)))
    end_attachments(cloud, handle)
    assert ENDED in str(await do(cloud, handle, "unshelve"))
    assert (state(cloud, handle), row(cloud, handle).host, cloud.claims_of(instance_of(handle))) == (
        OFFLOADED,
        None,
        {},
    )
    assert set(cloud.of(instance_of(handle))) == {thing for thing in things if thing[1] != "attachment"}
    await detached(cloud, handle)
    assert await do(cloud, handle, "unshelve") is None and attachments(cloud, handle) == set()
    await dropped(cloud, handle)


async def test_leaving_a_host_makes_none_anew(cloud: FrameCloud) -> None:
    handle = await server(cloud, "shelveOffload")
    end_attachments(cloud, handle)
    assert await do(cloud, handle, "shelveOffload") is None
    assert state(cloud, handle) == OFFLOADED and attachments(cloud, handle) == set()
    await detached(cloud, handle)
    assert await do(cloud, handle, "unshelve") is None
    await dropped(cloud, handle)


@pytest.mark.parametrize("step", ["leave_host", "arrive"])
async def test_one_that_is_ended_while_its_server_moves_keeps_it_off_where_it_was(cloud: FrameCloud, step: str) -> None:
    """The way back is refused as well: the guest is off by then, and starts once the volume is detached."""
    handle = await server(cloud, ELSEWHERE)
    home = row(cloud, handle).host or ""
    cloud.faults.arm(hold=step, **({"fail_after": "arrive"} if step == "arrive" else {}))
    begun(cloud, request(cloud, handle, ELSEWHERE))
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    end_attachments(cloud, handle)
    cloud.faults.release.set()
    assert "not undone: come_back" in str(await cloud.end(handle))
    assert (row(cloud, handle).host, state(cloud, handle)) == (home, ("active", None))
    assert cloud.things.power.get(instance_of(handle)) != 1 and attachments(cloud, handle) == set()
    assert set(cloud.claims_of(instance_of(handle))) == {home}
    await detached(cloud, handle)
    assert await do(cloud, handle, "reboot") is None and cloud.things.power[instance_of(handle)] == 1
    await dropped(cloud, handle)


async def test_one_that_is_ended_while_its_server_comes_back_is_detached_first(cloud: FrameCloud) -> None:
    handle = await server(cloud, "revertResize elsewhere")
    cloud.faults.arm(hold="destroy")
    begun(cloud, request(cloud, handle, "revertResize elsewhere"))
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    end_attachments(cloud, handle)
    cloud.faults.release.set()
    assert ENDED in str(await cloud.end(handle))
    assert state(cloud, handle) == ("resized", None) and attachments(cloud, handle) == set()
    await detached(cloud, handle)
    assert await do(cloud, handle, "revertResize elsewhere") is None
    assert (state(cloud, handle), cloud.things.power[instance_of(handle)]) == (("active", None), 1)
    await dropped(cloud, handle)


async def test_no_image_is_written_over_a_volume_that_may_be_anothers(cloud: FrameCloud) -> None:
    handle = await of_a_volume(cloud)
    volume_id = row(cloud, handle).volumes[0]["volume_id"]
    end_attachments(cloud, handle)
    assert ENDED in str(await asked(cloud, handle, "rebuild", volume_id=volume_id))
    assert state(cloud, handle) == ("active", None) and cloud.things.power[instance_of(handle)] == 1
    assert "power_off" not in cloud.faults.ran and volume_id not in cloud.things.written
    await dropped(cloud, handle)
