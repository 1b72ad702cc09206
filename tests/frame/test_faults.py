"""Faults that the durable core once had, each with the test that failed before; the docstring names the mechanism."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import RestrictedWorkflowAccessError

from activities.step import STEPS, Where
from api.common.errors import ServiceError
from infra.contracts import patience
from infra.contracts.placement import HostRef
from infra.contracts.requests import DeleteRequest, Fault
from infra.database import Database
from infra.interruption import END_OF_TRY, TooLate
from infra.tables.compute import Flavor, Instance
from tests.frame.careless import Careless
from tests.frame.cloud import FrameCloud
from tests.workflows.servers import instance_of
from workers.build import build_id
from workers.sandbox import runner
from workflows import operation
from workflows.saga import HERE, execute

with workflow.unsafe.imports_passed_through():
    from activities.placement import Placement
    from infra.contracts.step import Step

pytestmark = pytest.mark.asyncio(loop_scope="session")


def row(cloud: FrameCloud, handle: Any) -> Instance:
    found = cloud.record(handle)
    assert found is not None
    return found


async def count(handle: WorkflowHandle[Any, Any]) -> int:
    return len([event async for event in handle.fetch_history_events()])


async def told(handle: WorkflowHandle[Any, Any], kind: EventType.ValueType) -> bool:
    return kind in [event.event_type async for event in handle.fetch_history_events()]


@contextmanager
def patient(**limits: timedelta) -> Iterator[None]:
    was = {name: getattr(patience, name) for name in limits}
    for name, value in limits.items():
        setattr(patience, name, value)
    try:
        yield
    finally:
        for name, value in was.items():
            setattr(patience, name, value)


async def forget(cloud: FrameCloud, handle: WorkflowHandle[Any, Any]) -> None:
    """As after Temporal's retention."""
    from temporalio.api.common.v1 import WorkflowExecution
    from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest

    found = WorkflowExecution(workflow_id=handle.id)
    request = DeleteWorkflowExecutionRequest(namespace=cloud.client.namespace, workflow_execution=found)
    await cloud.client.workflow_service.delete_workflow_execution(request)
    end = time.monotonic() + 100
    while time.monotonic() < end:
        try:
            await cloud.client.get_workflow_handle(handle.id).describe()
        except Exception:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the history is still there")


async def test_a_repeat_after_retention_finds_its_server_in_the_record(cloud: FrameCloud) -> None:
    """Row 3. Mechanism: Operations._known."""
    request = cloud.request(repeatable=True, digest="d1")
    boot = await cloud.boot(request)
    assert await cloud.end(boot) is None
    await forget(cloud, boot)
    again = await cloud.ops.boot(request.model_copy(update={"admin_pass": "another", "requester": cloud.requester()}))
    assert (again.instance_id, again.admin_pass) == (request.instance_id, request.admin_pass)
    assert row(cloud, boot).vm_state == "active"
    with pytest.raises(ServiceError) as refused:
        await cloud.ops.boot(request.model_copy(update={"digest": "d2"}))
    assert refused.value.status == 422


async def test_no_build_begins_on_a_server_that_was_launched(cloud: FrameCloud) -> None:
    """Row 3. Mechanism: launched_at, looked at in create_record; what failed so must not fail the server."""
    request = cloud.request()
    boot = await cloud.boot(request)
    assert await cloud.end(boot) is None
    before = cloud.things.things()
    with pytest.raises(ServiceError, match="was built already"):
        again = request.model_copy(update={"requester": cloud.requester()})
        await cloud.ops._start("BootInstance", again, "create", key="as after retention")
    await cloud.end(boot)
    assert (row(cloud, boot).vm_state, row(cloud, boot).task_state) == ("active", None)
    assert cloud.things.things() == before


async def test_an_undo_that_keeps_failing_is_given_up_and_named(cloud: FrameCloud) -> None:
    """Row 4. Mechanism: patience.FOR_AN_UNDO, in the saga and in delete."""
    with patient(FOR_AN_UNDO=timedelta(seconds=1)):
        boot = await cloud.boot(fail_after="spawn", hold="destroy")
        await asyncio.wait_for(cloud.faults.held.wait(), 20)
        cloud.faults.fail_before, cloud.faults.transient = "detach_volumes", True
        cloud.faults.release.set()
        error = await cloud.end(boot)
        assert "not undone: detach_volumes" in str(error)
        assert row(cloud, boot).vm_state == "error"
        boot = await cloud.boot()
        assert await cloud.end(boot) is None
        cloud.faults.arm(fail_before="detach_volumes", transient=True)
        await cloud.delete(boot)
        assert await cloud.end(boot) is None
    assert row(cloud, boot).vm_state == "deleted"
    left = {kind for _, kind, instance_id, _ in await cloud.leaks() if instance_id == instance_of(boot)}
    assert left == {"attachment", "volume"}
    cloud.things.anywhere.clear()


async def test_the_watch_survives_a_store_that_does_not_answer(cloud: FrameCloud) -> None:
    """Row 6. Mechanism: is_up takes a failed check for "unknown", and the watch goes on to the deadline."""
    with patient(FOR_RECORDS=timedelta(seconds=1)):
        boot = await cloud.boot(cloud.request(deadline_s=3), hold="fetch_to_host", fail_before="check_host")
        await asyncio.wait_for(cloud.faults.held.wait(), 20)
        async with asyncio.timeout(30):
            while not await told(boot, EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED):
                await asyncio.sleep(0.05)
        assert cloud.faults.looks >= 2
        cloud.faults.release.set()
        assert "Not finished before its deadline" in str(await cloud.end(boot))


@workflow.defn
class Patient:
    """One record step that fails fast, within a limit."""

    @workflow.run
    async def run(self, host: str) -> None:
        step = Step(event="check_host", start_time=workflow.now())
        await execute(Placement.check_host, HostRef(host=host), HERE, step, within=timedelta(seconds=3))


async def run_alone(cloud: FrameCloud, kind: type, queue: str, *args: Any, **options: Any) -> BaseException | None:
    """How a workflow of the test's own ends, on a worker of its own."""
    options = {"workflow_runner": runner(), "interceptors": [cloud.faults], "build_id": build_id(), **options}
    steps = [Placement(cloud.claims).check_host]
    with ThreadPoolExecutor(2) as pool:
        async with Worker(
            cloud.client, task_queue=queue, workflows=[kind], activities=steps, activity_executor=pool, **options
        ):
            handle: WorkflowHandle[Any, Any] = await cloud.client.start_workflow(
                kind.__name__, args=args, id=f"alone-{uuid.uuid4()}", task_queue=queue
            )
            try:
                await asyncio.wait_for(handle.result(), 30)
            except WorkflowFailureError as error:
                return error.cause
    return None


async def test_a_record_step_that_fails_fast_ends_in_time(cloud: FrameCloud) -> None:
    """Row 7. Mechanism: saga.bounded. Without it this one had no end. A timer reaches the server with the workflow
    task, which a local activity holds for up to 8 s."""
    cloud.faults.arm(fail_before="check_host", kind="Transient")
    begun = time.monotonic()
    error = await run_alone(cloud, Patient, "alone-7", "node1")
    assert isinstance(error, ApplicationError) and error.type == "Overdue"
    assert 2.5 < time.monotonic() - begun < 25


async def test_a_bug_fails_the_task_and_mended_code_goes_on(cloud: FrameCloud, monkeypatch: Any) -> None:
    """Row 8. Mechanism: carry_out waits for nobody when what ended was not a failure."""
    broken = True
    real = operation.metrics.ended  # type: ignore[attr-defined]

    def ended(*args: Any, **kwargs: Any) -> None:
        if broken:
            raise TypeError("a bug")
        real(*args, **kwargs)

    # Strict sandboxes import workflow code anew; this worker's does not, so that the bug can be mended under it.
    queue = "alone-8"
    monkeypatch.setattr(operation.metrics, "ended", ended)  # type: ignore[attr-defined]
    from workflows.delete_instance import DeleteInstance

    request = DeleteRequest(requester=cloud.requester(), instance_id=str(uuid.uuid4()))
    boot = await cloud.boot()
    assert await cloud.end(boot) is None
    request = request.model_copy(update={"instance_id": instance_of(boot)})
    async with cloud.beside(queue):
        handle = await cloud.client.start_workflow(
            DeleteInstance.run, request, id=f"bug-{uuid.uuid4()}", task_queue=queue
        )
        end = time.monotonic() + 20
        while time.monotonic() < end:
            kinds = [event.event_type async for event in handle.fetch_history_events()]
            if EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED in kinds:
                break
            await asyncio.sleep(0.1)
        assert EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED in kinds
        broken = False
        await asyncio.wait_for(handle.result(), 30)
    assert row(cloud, boot).vm_state == "deleted"


async def test_a_write_that_comes_too_late_is_not_made(tmp_path: Any) -> None:
    """Row 11. Mechanism: Database looks at the try's end before it commits."""
    store = Database("compute", f"sqlite:///{tmp_path}/late.sqlite")
    store.migrate()
    late = Flavor(id="late", name="late", ram=1, vcpus=1)

    def write(how: str) -> None:
        token = END_OF_TRY.set(time.monotonic() - 0.1)
        try:
            if how == "session":
                with store.write() as session:
                    session.add(late)
            else:
                with store.transaction() as connection:
                    table = Flavor.__table__  # type: ignore[attr-defined]
                    connection.execute(insert(table), late.model_dump())
        finally:
            END_OF_TRY.reset(token)

    for how in ("session", "transaction"):
        with pytest.raises(TooLate):
            write(how)
    with store.read() as session:
        assert session.get(Flavor, "late") is None


async def test_a_parked_build_costs_nothing_and_keeps_its_deadline(cloud: FrameCloud) -> None:
    """Row 12. Mechanism: the watch waits while parked; the deadline moves by the time that the build was held."""
    hints = {"kilonova:on_failure": "park"}
    boot = await cloud.boot(cloud.request(hints=hints, deadline_s=2), fail_before="spawn", times=1)
    while not (found := cloud.record(boot)) or not found.parked:
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    before = await count(boot)
    await asyncio.sleep(3.0)  # ten looks of the watch, and past the deadline
    assert await count(boot) == before
    await cloud.ops.resume(cloud.requester(), instance_of(boot), "retry")
    assert await cloud.end(boot) is None


async def test_a_server_whose_request_cannot_be_opened_can_be_deleted(cloud: FrameCloud) -> None:
    """Row 13. Mechanism: ports and volumes lie in the record in clear."""
    boot = await cloud.boot()
    assert await cloud.end(boot) is None
    with cloud.database.write() as session:
        session.get_one(Instance, instance_of(boot)).sealed_request = "k999:bm90aGluZw=="
    await cloud.delete(boot)
    assert await cloud.end(boot) is None
    assert row(cloud, boot).vm_state == "deleted"
    assert await cloud.leaks() == []


async def test_the_strict_sandbox_sees_a_clock(cloud: FrameCloud) -> None:
    """Row 14. Mechanism: runner(strict=True), in which tests and replays run workflow code. The second workflow finds
    its code imported by the first."""
    from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

    strict: Any = runner(strict=True)
    assert isinstance(strict, SandboxedWorkflowRunner)
    for queue in ("alone-14", "alone-14-again"):
        error = await run_alone(
            cloud, Careless, queue, workflow_runner=strict, workflow_failure_exception_types=[Exception]
        )
        told = f"{getattr(error, 'type', '')} {error}".lower()
        assert RestrictedWorkflowAccessError.__name__.lower() in told or "restricted" in told


async def test_slow_control_steps_have_slots_of_their_own() -> None:
    """Row 18. Mechanism: Where.CONTROL steps are ordinary activities; record steps are local ones."""
    assert STEPS["release_services"].where is Where.CONTROL
    assert STEPS["create_record"].where is Where.RECORD


async def test_a_delete_after_an_abandoning_one_gets_through(cloud: FrameCloud) -> None:
    """An undo that keeps the record, as the audit starts it, does not swallow the tenant's own delete."""
    boot = await cloud.boot()
    assert await cloud.end(boot) is None
    cloud.faults.arm(hold="destroy")
    keeping = DeleteRequest(
        requester=cloud.requester(), instance_id=instance_of(boot), keep_as=Fault(message="ended from outside")
    )
    await cloud.ops.delete(keeping)
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    await cloud.delete(boot)
    cloud.faults.release.set()
    assert await cloud.end(boot) is None
    assert row(cloud, boot).vm_state == "deleted"
