"""A cancel is asked for, never thrown into a step's thread (docs/decisions/0007)."""

import inspect
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from temporalio import activity
from temporalio.exceptions import CancelledError
from temporalio.testing import ActivityEnvironment

from infra.host.heartbeats import Turns, at_once
from tests.workflows.cloud import Cloud
from workers.control import control_activities
from workers.interceptors import InstanceLocks

Take = Callable[[], AbstractContextManager[None]]


@pytest.mark.asyncio(loop_scope="session")
async def test_no_step_is_interrupted_by_an_exception(cloud: Cloud) -> None:
    """Mechanism: activities.step. One step without it would be enough for a lock that nobody gives back."""
    on_hosts = [fn for host in cloud.hosts.values() for fn in host.activities()]
    for fn in [*control_activities(cloud.settings, cloud.database, cloud.client), *on_hosts]:
        known = activity._Definition.must_from_callable(fn)
        assert inspect.iscoroutinefunction(fn) or known.no_thread_cancel_exception, known.name


def cancelled(work: Callable[[], object]) -> BaseException | None:
    """What `work` ends with, as a step that is cancelled while it runs."""
    ends: list[BaseException] = []
    environment = ActivityEnvironment()

    @activity.defn(no_thread_cancel_exception=True)
    def run() -> None:
        work()

    def thread() -> None:
        try:
            environment.run(run)
        except BaseException as error:
            ends.append(error)

    running = threading.Thread(target=thread)
    running.start()
    running.join(0.2)
    assert running.is_alive()
    environment.cancel()
    running.join(10)
    assert not running.is_alive()
    return ends[0] if ends else None


@pytest.mark.parametrize(
    "take", [lambda turns=Turns(): turns.take("vm"), lambda locks=InstanceLocks(): locks.hold("vm")]
)
def test_who_waits_for_a_turn_gives_up_and_leaves_it_free(take: Take) -> None:
    """Mechanism: `still_wanted` in both loops."""

    def wait() -> None:
        with take():
            raise AssertionError("it was not its turn")

    with take():
        assert isinstance(cancelled(wait), CancelledError)
    with take():
        pass


def test_work_in_other_threads_is_told_to_stop() -> None:
    """Mechanism: `still_wanted` in `at_once`."""
    stop = threading.Event()
    assert isinstance(cancelled(lambda: at_once(lambda _: stop.wait(20), [1, 2], stop)), CancelledError)
    assert stop.is_set()
