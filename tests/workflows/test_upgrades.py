"""New workflow code while builds run: an unguarded change is caught, the same change behind `patched` is safe.

Switched off by: a `replay` that does not report, or `patched` taken out of `Guarded`."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from temporalio import workflow
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.placement import Placement
from infra.contracts.placement import HostRef
from infra.contracts.requests import BootRequest
from tests.workflows import histories
from tests.workflows.beside import beside
from tests.workflows.cloud import Cloud
from workers.control import WORKFLOWS
from workers.replay import replay
from workflows.boot_instance import BootInstance

pytestmark = pytest.mark.asyncio(loop_scope="session")
PATCH = "look-first"


class WithAnotherStep(BootInstance):
    """A build that asks one thing more before its first step: what a developer might change."""

    async def look(self) -> None:
        await workflow.execute_local_activity_method(
            Placement.check_host, HostRef(host="node1"), start_to_close_timeout=timedelta(seconds=5)
        )


@workflow.defn(name="BootInstance")
class Careless(WithAnotherStep):
    @workflow.run
    async def run(self, req: BootRequest) -> None:
        await super().run(req)

    async def build(self, req: BootRequest) -> None:
        await self.look()
        await super().build(req)


@workflow.defn(name="BootInstance")
class Guarded(WithAnotherStep):
    @workflow.run
    async def run(self, req: BootRequest) -> None:
        await super().run(req)

    async def build(self, req: BootRequest) -> None:
        if workflow.patched(PATCH):
            await self.look()
        await super().build(req)


GUARDED: list[type] = [Guarded, *(each for each in WORKFLOWS if each is not BootInstance)]


async def test_an_unguarded_change_is_caught_with_its_first_difference() -> None:
    changed: Sequence[type] = [Careless]
    replayed = await replay(histories.load("boot_instance-good"), pydantic_data_converter, changed)
    assert "the history has validate_token, today's code asks for check_host" in replayed.difference
    assert replayed.difference.startswith("event ")
    assert replayed.steps  # what was done is shown all the same


async def test_the_same_change_behind_patched_replays_every_old_history_of_a_build() -> None:
    changed: Sequence[type] = [Guarded]
    builds = [name for name in histories.names() if name.startswith("boot_instance-")]
    assert builds
    for name in builds:
        replayed = await replay(histories.load(name), pydantic_data_converter, changed)
        assert replayed.difference == "", name


async def test_a_build_begun_by_old_code_ends_under_new_code(cloud: Cloud) -> None:
    """A worker with old code stops in the middle of a build; one with new code, and no memory of it, takes over."""
    async with beside(cloud, "upgrade") as other:
        async with other.workers():
            old = await other.boot(hold="plug_ports")
            await other.faults.held.wait()
            other.faults.release.set()
        async with other.workers(workflows=GUARDED):
            assert await other.end(old) is None
            new = await other.boot()
            assert await other.end(new) is None
            record = other.record(new)
            assert record and record.vm_state == "active"
            assert PATCH not in str(await old.fetch_history())
            assert PATCH in str(await new.fetch_history())
            for boot in (old, new):
                await other.delete(boot)
                assert await other.end(boot) is None
    assert await cloud.leaks() == []


async def test_nothing_is_kept_in_memory_between_tasks(cloud: Cloud) -> None:
    """With no cache every workflow task runs the workflow from its first step on."""
    async with beside(cloud, "uncached") as other, other.workers(cached=0):
        for faults in ({}, {"fail_after": "spawn", "kind": "HostCannot", "times": 1}, {"fail_after": "spawn"}):
            boot = await other.boot(**faults)
            error = await other.end(boot)
            assert (error is None) == ("times" in faults or not faults), faults
            other.faults.arm()
            await other.delete(boot)
            assert await other.end(boot) is None
    assert await cloud.leaks() == []
