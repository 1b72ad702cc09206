"""A host that falls silent, a neighbour that is away, a delete: held at every step, undo and record step."""

import asyncio
from typing import Any

import pytest
from sqlmodel import col, select

from activities.step import STEPS, Where
from infra.tables.compute import ActionEvent, Instance
from tests import effort
from tests.frame.cloud import FrameCloud
from tests.frame.test_actions import every_action, steps, together
from tests.frame.test_builds import steps as steps_of_a_build
from tests.workflows.acting import Handle, request, server, starting
from tests.workflows.servers import HOSTS
from tests.workflows.ways import ELSEWHERE, WAYS

pytestmark = pytest.mark.asyncio(loop_scope="session")
TWO_LOOKS_S = 0.8
"""So long the watch takes for two looks: see `tests.frame.conftest.SOON`."""
ARRIVING = ("fetch_to_host", "plug_ports", "attach_volumes", "unpack_files", "arrive")
ON_HOST = [name for name, facts in STEPS.items() if facts.where is Where.HOST]


def row(cloud: FrameCloud, handle: Any) -> Instance:
    found = cloud.record(handle)
    assert found is not None
    return found


def why(cloud: FrameCloud, handle: Handle) -> str:
    """What the event list tells of the action that failed last."""
    mine = (col(ActionEvent.instance_id) == row(cloud, handle).id, col(ActionEvent.event) == "fail_action")
    with cloud.database.read() as session:
        told = session.exec(select(ActionEvent.details).where(*mine).order_by(col(ActionEvent.id).desc())).first()
    return told or ""


async def test_a_host_that_falls_silent_at_any_step_is_left_for_the_next(cloud: FrameCloud) -> None:
    for step in [name for name in await steps_of_a_build(cloud) if name in ON_HOST]:
        boot = await cloud.boot(hold=step)
        await asyncio.wait_for(cloud.faults.held.wait(), 20)
        lost = cloud.claim(boot)
        assert lost is not None
        cloud.silence(lost.host)
        await asyncio.sleep(TWO_LOOKS_S)
        cloud.faults.hold = None
        cloud.faults.release.set()
        assert await cloud.end(boot) is None, step
        held = cloud.claim(boot)
        assert held is not None and held.host != lost.host, step
        cloud.silence()
        cloud.forget(lost.host, boot)
        assert await cloud.leaks() == [], step
        await cloud.drop(boot)


async def silent_while_undoing(cloud: FrameCloud, undo: str) -> tuple[Handle, str]:
    """A build that failed, held in `undo` on a host that the watch has found silent; that host's name."""
    boot = await cloud.boot(fail_after="spawn", hold=undo)
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    lost = cloud.claim(boot)
    assert lost is not None
    cloud.silence(lost.host)
    await asyncio.sleep(TWO_LOOKS_S)
    return boot, lost.host


async def all_goes_with_a_delete(cloud: FrameCloud, boot: Handle, host: str) -> None:
    """What the silent host held goes with it."""
    cloud.things.here[host].clear()
    cloud.silence()
    cloud.faults.arm()
    await cloud.delete(boot)
    assert await cloud.end(boot) is None
    assert await cloud.leaks() == []


async def test_a_host_that_falls_silent_while_it_undoes_is_given_up(cloud: FrameCloud) -> None:
    for undo in ("destroy", "unplug_ports", "detach_volumes", "remove_disk"):
        boot, host = await silent_while_undoing(cloud, undo)
        cloud.faults.release.set()
        assert await cloud.end(boot) is not None
        assert row(cloud, boot).vm_state == "error"
        assert not [t for t in await cloud.leaks() if t[0] == ""], undo  # what services hold is freed from here
        cloud.things.here[host].clear()
        cloud.silence()


async def test_services_that_cannot_be_freed_for_a_silent_host_do_not_keep_a_build_from_its_end(
    cloud: FrameCloud,
) -> None:
    boot, host = await silent_while_undoing(cloud, "destroy")
    cloud.faults.fail_before = "release_services"
    cloud.faults.release.set()
    assert await cloud.end(boot) is not None
    assert row(cloud, boot).vm_state == "error"
    assert "release_services" in cloud.faults.ran
    await all_goes_with_a_delete(cloud, boot, host)


async def test_a_claim_that_cannot_be_given_back_does_not_keep_the_services_of_a_silent_host(cloud: FrameCloud) -> None:
    boot, host = await silent_while_undoing(cloud, "destroy")
    cloud.faults.fail_before = "release_host"
    cloud.faults.release.set()
    assert await cloud.end(boot) is not None
    assert row(cloud, boot).vm_state == "error"
    assert {kind for where, kind, *_ in await cloud.leaks() if where == ""} == {"claim"}
    await all_goes_with_a_delete(cloud, boot, host)


@pytest.mark.parametrize("undo", ["destroy", "unplug_ports", "release_host", "fail_record"])
async def test_a_delete_while_a_failed_build_ends_gets_through(cloud: FrameCloud, undo: str) -> None:
    """Mechanism: carry_out looks for a delete last, in the one place that ends a run."""
    boot = await cloud.boot(fail_after="spawn", hold=undo)
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    await cloud.delete(boot)
    cloud.faults.release.set()
    assert await cloud.end(boot) is None
    assert row(cloud, boot).vm_state == "deleted"
    assert await cloud.leaks() == []


async def test_a_delete_while_services_are_freed_gets_through(cloud: FrameCloud) -> None:
    boot, host = await silent_while_undoing(cloud, "destroy")
    cloud.faults.held.clear()
    cloud.faults.hold = "release_services"
    cloud.faults.release.set()
    cloud.faults.release = asyncio.Event()
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    await cloud.delete(boot)
    cloud.faults.release.set()
    assert await cloud.end(boot) is None
    assert row(cloud, boot).vm_state == "deleted"
    cloud.things.here[host].clear()
    cloud.silence()


@pytest.mark.parametrize("ending", ["end_action", "fail_action"])
@pytest.mark.usefixtures("quick")
async def test_a_delete_while_any_action_ends_gets_through(cloud: FrameCloud, ending: str) -> None:
    async def at_the_end_of(cloud: FrameCloud, name: str) -> None:
        handle = await server(cloud, name)
        failing = {"fail_before": "end_action"} if ending == "fail_action" else {}
        cloud.faults.arm(hold=ending, **failing)
        starting(cloud, handle, name)
        await asyncio.wait_for(cloud.faults.held.wait(), 20)
        await cloud.delete(handle)
        cloud.faults.release.set()
        assert await cloud.end(handle) is None
        assert row(cloud, handle).vm_state == "deleted"
        assert await cloud.leaks() == []

    await together(cloud, effort.of(sorted(WAYS)), at_the_end_of)


@pytest.mark.turns
@every_action
@pytest.mark.usefixtures("quick")
async def test_a_host_that_falls_silent_during_an_action_puts_the_server_back(cloud: FrameCloud, name: str) -> None:
    """A server for each step, held there, before their hosts fall silent together."""
    ran = await steps(cloud, name)
    on_host = dict.fromkeys(step for step in ran[: ran.index("end_action")] if step in ON_HOST)
    held: dict[str, tuple[FrameCloud, Handle, Instance]] = {}

    async def holding(cloud: FrameCloud, step: str) -> None:
        handle = await server(cloud, name)
        before = row(cloud, handle)
        cloud.faults.arm(hold=step)
        starting(cloud, handle, name)
        await asyncio.wait_for(cloud.faults.held.wait(), 20)
        held[step] = (cloud, handle, before)

    async def given_up(cloud: FrameCloud, step: str) -> None:
        cloud, handle, before = held[step]
        host = str(row(cloud, handle).host)
        cloud.faults.release.set()
        assert await cloud.end(handle) is not None
        after = row(cloud, handle)
        assert (after.vm_state, after.task_state, after.host) == (before.vm_state, None, before.host)
        arrives = name == ELSEWHERE and step in ARRIVING  # it is left for the next, and there is none
        words = "the host stopped answering" if arrives else "cancelled as its host does not report any more during: "
        assert words in why(cloud, handle), (step, why(cloud, handle))
        if after.host != host:
            cloud.forget(host, handle)  # it goes when the host is back: the record says that it was given back

    async def deleted(cloud: FrameCloud, step: str) -> None:
        cloud, handle, _ = held[step]
        await cloud.drop(handle)
        assert await cloud.leaks() == []

    await together(cloud, on_host, holding)
    cloud.silence(*HOSTS)
    await asyncio.sleep(TWO_LOOKS_S)
    await together(cloud, on_host, given_up)
    cloud.silence()
    await together(cloud, on_host, deleted)


@pytest.mark.usefixtures("quick")
async def test_a_delete_during_any_action_on_a_host_that_falls_silent_leaves_nothing_behind(cloud: FrameCloud) -> None:
    """Mechanism: Saga.left, told to the delete by CutOff.left: no undo reaches the host any more."""
    held: dict[str, tuple[FrameCloud, Handle]] = {}

    async def holding(cloud: FrameCloud, name: str) -> None:
        handle = await server(cloud, name)
        cloud.faults.arm(hold="end_action")
        starting(cloud, handle, name)
        await asyncio.wait_for(cloud.faults.held.wait(), 20)
        held[name] = (cloud, handle)

    async def deleted(cloud: FrameCloud, name: str) -> None:
        cloud, handle = held[name]
        await cloud.delete(handle)
        cloud.faults.release.set()
        assert await cloud.end(handle) is None
        assert row(cloud, handle).vm_state == "deleted"
        assert [t for t in await cloud.leaks() if t[0] == ""] == []  # what is on the host goes when it is back
        for host in HOSTS:
            cloud.forget(host, handle)

    asked = effort.of(sorted(WAYS))
    await together(cloud, asked, holding)
    cloud.silence(*HOSTS)
    await asyncio.sleep(TWO_LOOKS_S)
    await together(cloud, asked, deleted)


async def test_a_neighbour_that_is_away_is_waited_for_and_blames_no_host(cloud: FrameCloud) -> None:
    """Mechanism: NeighbourAway is retried without an end, and other hosts are tried for HostCannot only."""
    for step in ("fetch_to_host", "plug_ports", "attach_volumes"):
        boot = await cloud.boot(fail_before=step, kind="NeighbourAway", transient=True, times=8)
        assert await cloud.end(boot) is None, step
        held = cloud.claim(boot)
        assert held is not None and held.attempt == 1, step
        await cloud.drop(boot)


@pytest.mark.parametrize("step", ["fetch_flavor", "mark_active"])
async def test_a_control_step_that_fails_blames_no_host(cloud: FrameCloud, step: str) -> None:
    boot = await cloud.boot(fail_before=step, kind="")
    assert f"injected at {step}" in str(await cloud.end(boot))
    assert "No valid host" not in row(cloud, boot).fault["message"]
    assert await cloud.leaks() == []


@pytest.mark.parametrize("unusual", [StopIteration, SystemExit, KeyboardInterrupt, GeneratorExit])
async def test_no_exception_type_can_hang_a_step(cloud: FrameCloud, unusual: type[BaseException]) -> None:
    """Mechanism: _guarded in workers/interceptors.py."""
    boot = await cloud.boot(raises=unusual, fail_before="spawn", times=1)
    assert await cloud.end(boot) is None
    assert cloud.faults.ran.count("spawn") == 2
    await cloud.drop(boot)


async def test_an_operation_that_ends_while_its_host_is_looked_after_does_end(cloud: FrameCloud) -> None:
    """Mechanism: `_watch` ends with the steps. The watch's own look took the cancel for a store that does not answer,
    and watched on; a control worker that was killed at the right moment left such a server locked for ever."""
    handle = await server(cloud, "pause")
    cloud.faults.arm(hold="pause", fail_before="check_host", kind="Transient")
    await cloud.ops.start(*request(cloud, handle, "pause"))
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    while cloud.faults.looks < 2:
        await asyncio.sleep(0.05)
    cloud.faults.release.set()
    assert await asyncio.wait_for(cloud.end(handle), 20) is None
    assert row(cloud, handle).vm_state == "paused"
    cloud.faults.arm()
    await cloud.drop(handle)
