"""The runners of workflow code: as it is where it serves, in the SDK's sandbox where it is tested and replayed."""

import threading
from functools import cache

from temporalio.api.enums.v1.command_type_pb2 import CommandType
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import (
    ActivitySerializationContext,
    SerializationContext,
    StorageDriverStoreContext,
    WorkflowSerializationContext,
)
from temporalio.worker import UnsandboxedWorkflowRunner, WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.worker.workflow_sandbox._importer import Importer
from temporalio.worker.workflow_sandbox._restrictions import RestrictionContext
from temporalio.worker.workflow_sandbox._runner import _Instance as Sandboxed
from temporalio.workflow import Info


class Runner(UnsandboxedWorkflowRunner):
    """As the SDK's, but what a payload is for follows from the commands that leave an activation. The SDK asks the
    workflow for it, three times for each payload. Payloads are not stored elsewhere."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return _Instance(super().create_instance(det), det.info)


class StrictRunner(SandboxedWorkflowRunner):
    """The same in the sandbox, which is entered for workflow code only, and has imported it once for all workflows."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return _Instance(_Sandboxed(det, self.runner_class), det.info)


class _PerThread(threading.local, RestrictionContext):
    """Whether workflow code runs, or is imported: of the thread that asks, for which the SDK's own begins anew."""


class _Sandboxed(Sandboxed):
    """The SDK's imports all code anew for each workflow. Where it serves, workflows share what is imported."""

    def __init__(self, det: WorkflowInstanceDetails, runner_class: type) -> None:
        self.instance_details, self.runner_class = det, runner_class
        self.importer = _importer()
        self._current_thread_id = None
        self.globals_and_locals = {"__file__": "workflow_sandbox.py"}
        with _IMPORTING:
            self._create_instance()


_IMPORTING = threading.Lock()


@cache
def _importer() -> Importer:
    return Importer(_restrictions(), _PerThread())


@cache
def _restrictions() -> SandboxRestrictions:
    return SandboxRestrictions.default.with_passthrough_modules(*STRICTLY_PASSED)


class _Instance(WorkflowInstance):
    def __init__(self, workflow: WorkflowInstance, info: Info) -> None:
        self._code, self._info = workflow, info
        self._workflow = WorkflowSerializationContext(namespace=info.namespace, workflow_id=info.workflow_id)
        self._steps: dict[int, ActivitySerializationContext] = {}  # by the number of the command that began it

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        for job in act.jobs:
            if job.HasField("resolve_activity"):
                self._steps.pop(job.resolve_activity.seq, None)  # its result is opened by now
        completion = self._code.activate(act)
        for command in completion.successful.commands:
            if command.HasField("schedule_activity"):
                step = command.schedule_activity
                self._steps[step.seq] = self._step(step.activity_type, step.activity_id, step.task_queue, local=False)
            elif command.HasField("schedule_local_activity"):
                here = command.schedule_local_activity
                queue = self._info.task_queue
                self._steps[here.seq] = self._step(here.activity_type, here.activity_id, queue, local=True)
        return completion

    def get_serialization_context(self, command_info: object) -> SerializationContext | None:
        kind = getattr(command_info, "command_type", None)
        if kind == CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK:
            return self._steps.get(getattr(command_info, "command_seq", 0), self._workflow)
        return self._workflow

    def _step(self, activity_type: str, activity_id: str, queue: str, *, local: bool) -> ActivitySerializationContext:
        return ActivitySerializationContext(
            namespace=self._info.namespace,
            workflow_id=self._info.workflow_id,
            workflow_type=self._info.workflow_type,
            activity_type=activity_type,
            activity_id=activity_id,
            activity_task_queue=queue,
            is_local=local,
        )

    def get_external_store_context(self, command_info: object) -> StorageDriverStoreContext:
        return StorageDriverStoreContext(target=None)

    def get_info(self) -> Info:
        return self._code.get_info()

    def get_thread_id(self) -> int | None:
        return self._code.get_thread_id()


def runner(*, strict: bool = False) -> Runner | StrictRunner:
    """`strict`: the sandbox sees workflow code use a clock, chance or files; in tests and in replays, since it imports
    that code anew, once a process, and stands between it and what it calls. Where everything passes through it, as it
    did in the worker, it watches over nothing."""
    return StrictRunner(restrictions=_restrictions()) if strict else Runner()


STRICTLY_PASSED = (
    "activities",
    "infra",
    "pydantic",
    "pydantic_core",
    "temporalio",
    "google",
    "structlog",
    "cryptography",
)
"""What workflow code may use as it is: contracts, steps by their names, and libraries."""
