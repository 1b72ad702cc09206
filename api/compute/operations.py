"""Operations on servers as workflows: start them, and learn what Temporal says. The API's only door to Temporal."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal, NoReturn

from temporalio.client import (
    ActivityFailureError,
    Client,
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
)
from temporalio.common import (
    RetryPolicy,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from api.common.errors import ServiceError
from api.compute import progress
from api.compute.errors import wrong_state
from infra.codec import KeyRing
from infra.contracts.diagnostics import Diagnostics
from infra.contracts.errors import BUSY
from infra.contracts.hypervisor import ConsoleOutput, ConsoleOutputRequest, ConsoleRequest, ConsoleTarget, InstanceRef
from infra.contracts.operation import ActionRequest
from infra.contracts.search import REQUEST_KEY, attributes_of
from infra.database import Database
from infra.settings import Settings
from infra.tables.compute import Instance
from infra.temporal import CONTROL_QUEUE, compute_queue, connect, server_workflow_id
from workflows import states
from workflows.action import Action
from workflows.boot_instance import BootInstance
from workflows.build import RETRY, Build
from workflows.delete_instance import DeleteInstance
from workflows.requests import BUILD_OF, Accepted, BootRequest, DeleteRequest, GivenUp, Requester

CREATE = "create"
QUEUE_S = 30.0
GIVE_UP_S = 20.0
"""So long a request waits for the end of what it cancelled."""


class Busy(ServiceError):
    """409: another operation runs; `task_state` says which."""

    def __init__(self, verb: str, instance_id: str, task_state: str) -> None:
        words = f"Cannot '{verb}' instance {instance_id} while it is in task_state {task_state}"
        super().__init__(409, words, title="conflictingRequest")
        self.task_state = task_state


class Operations:
    """What the compute API may ask of the workflows. Every method answers with Nova's errors (ServiceError)."""

    def __init__(self, client: Client, settings: Settings, database: Database) -> None:
        self._client, self._settings, self._db = client, settings, database
        self._ring = KeyRing.load(settings.codec_keys)

    @classmethod
    async def connect(cls, settings: Settings, database: Database | None = None) -> "Operations":
        return cls(await connect(settings), settings, database or Database("compute", state_dir=settings.state_dir))

    async def boot(self, request: BootRequest) -> Accepted:
        """Start the build and return once it is durable. The same request twice is one server, the same answer,
        whether Temporal still remembers the first or only the record does.

        Raises 401/403/400/409 as the workflow's first steps found, 422 when the client's key came with another body.
        A refusal is no server: with another token or more quota the same key is asked for anew."""
        if request.repeatable and (known := await asyncio.to_thread(self._known, request)):
            return known
        try:
            return await self._start(BootInstance.__name__, request, request.action, key=CREATE, name=request.name)
        except ServiceError as refused:
            if not request.repeatable or refused.status >= 500:
                raise
            # Temporal answers an update's id with its first outcome for as long as it keeps the run.
            anew = f"{CREATE} {request.requester.request_id}"
            return await self._start(
                BootInstance.__name__, request, request.action, key=CREATE, name=request.name, update_id=anew
            )

    async def start(self, action: Action, request: ActionRequest) -> Accepted:
        """Start an action and return once it is durable. What it may cut short gives way. Raises 404, or 409 in Nova's
        words."""
        key = f"{action.name} {request.requester.request_id}"
        end = time.monotonic() + QUEUE_S
        while True:
            try:
                return await self._start(action.workflow.__name__, request, request.transition.verb, key=key)
            except Busy as busy:
                if time.monotonic() > end:
                    raise
                if busy.task_state in request.transition.during:
                    await self.give_up(request.instance_id, GivenUp.HARD_REBOOT)
                elif states.queues(busy.task_state):
                    await asyncio.sleep(0.2)
                else:
                    raise

    async def delete(self, request: DeleteRequest) -> None:
        """Durable when it returns. What runs under the server's id gives way: it undoes itself, then deletes."""
        try:
            await self._client.start_workflow(
                DeleteInstance.run,
                request,
                id=server_workflow_id(request.instance_id),
                task_queue=CONTROL_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                start_signal="delete",
                start_signal_args=[request],
                static_summary=f"delete {request.instance_id}",
                search_attributes=attributes_of(request.instance_id, request.requester),
            )
        except RPCError as error:
            _unavailable(error)

    async def give_up(self, instance_id: str, cause: GivenUp) -> None:
        """Cancel what runs on the server: it undoes itself. Returns once that is over, or nothing runs; else 409."""
        handle = self._client.get_workflow_handle(server_workflow_id(instance_id))
        try:
            await handle.cancel(reason=cause)
            async with asyncio.timeout(GIVE_UP_S):
                await handle.result()
        except WorkflowFailureError:
            return
        except TimeoutError as error:
            words = f"What runs on instance {instance_id} was cancelled and is being undone; ask again."
            raise ServiceError(409, words, title="conflictingRequest") from error
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                _unavailable(error)

    async def retry(self, requester: Requester, instance_id: str) -> Accepted:
        """Run a failed build again: the same id, name and request. A parked one goes on at its failed step."""
        instance = await asyncio.to_thread(self._instance, instance_id)
        if instance.parked:
            await self.resume(requester, instance_id, RETRY)
            return Accepted(instance_id=instance_id)
        if instance.vm_state != "error" or instance.launched_at is not None or not instance.sealed_request:
            raise wrong_state("retry", instance_id, "vm_state", instance.vm_state)
        request = BootRequest.model_validate_json(self._ring.unseal(instance.sealed_request))
        known = {network["port_id"]: network["fixed_ips"] for network in instance.networks}
        for port in request.ports:
            port.preferred_ip = next(iter(known.get(port.port_id, [])), port.preferred_ip)
        request.requester, request.action, request.build_of = requester, "retry", BUILD_OF
        return await self._start(
            BootInstance.__name__, request, "retry", key=f"retry {requester.request_id}", name=request.name
        )

    async def _start(
        self,
        workflow: str,
        request: BootRequest | ActionRequest,
        verb: str,
        *,
        key: str,
        name: str = "",
        update_id: str | None = None,
    ) -> Accepted:
        """Update-with-start: whatever runs under the server's id answers. It answers for itself when `key` is its own,
        and refuses otherwise; so one request is one operation, and one server has one operation."""
        id, asks = request.instance_id, request.requester
        host = request.host if isinstance(request, ActionRequest) else ""
        start: WithStartWorkflowOperation[Any, None] = WithStartWorkflowOperation(
            workflow,
            request,
            id=server_workflow_id(id),
            task_queue=CONTROL_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary=f"{verb} {name or id}",
            search_attributes=attributes_of(id, asks, host),
            memo={REQUEST_KEY: key},
        )
        try:
            accepted: Accepted = await self._client.execute_update_with_start_workflow(
                "accepted", key, start_workflow_operation=start, id=update_id or key, result_type=Accepted
            )
            return accepted
        except WorkflowUpdateFailedError as error:
            _refused(error, verb, id)
        except RPCError as error:
            _unavailable(error)
        finally:
            handle = asyncio.ensure_future(start.workflow_handle())  # else asyncio complains of an unread failure
            handle.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _known(self, request: BootRequest) -> Accepted | None:
        """What an earlier request with the same key got; None when there was none, or its build still runs."""
        with self._db.read() as session:
            found = session.get(Instance, request.instance_id)
        if found is None:
            return None
        if found.request_digest != request.digest:
            raise ServiceError(422, "The Idempotency-Key was used before, for a request with another body.")
        if found.deleted_at is not None:
            raise ServiceError(409, f"Instance {found.id} is deleted.", title="conflictingRequest")
        if found.vm_state == "building" or not found.sealed_request:
            return None
        first = BootRequest.model_validate_json(self._ring.unseal(found.sealed_request))
        return Accepted(instance_id=found.id, admin_pass=first.admin_pass)

    async def resume(self, requester: Requester, instance_id: str, decision: str) -> None:
        """Decide over a parked build: `retry` its failed step, or `abort` and undo it. 409 when it is not parked."""
        handle = self._client.get_workflow_handle(server_workflow_id(instance_id))
        words = f"Cannot '{decision}' instance {instance_id}: no step of its build waits for a decision."
        try:
            await handle.execute_update(Build.decide, decision, id=f"{requester.request_id}-{decision}")
        except WorkflowUpdateFailedError as error:
            raise ServiceError(409, words, title="conflictingRequest") from error
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                raise ServiceError(409, words, title="conflictingRequest") from error
            _unavailable(error)

    async def progress(self, instance_id: str) -> list[dict[str, Any]]:
        """Steps of the operation that runs now, rows like ActionEvent's; [] when nothing answers within a second."""
        return await progress.steps(self._client, server_workflow_id(instance_id))

    async def percents(self, instance_ids: Sequence[str]) -> dict[str, int]:
        """See `progress.percent`, of all of them at once."""
        asked = (progress.percent(self._client, server_workflow_id(id)) for id in instance_ids)
        return dict(zip(instance_ids, await asyncio.gather(*asked), strict=True))

    async def console_output(self, instance_id: str, length: int | None) -> str:
        """The last `length` lines of the guest's serial console, read by its host. 409 while it has no host."""
        want = ConsoleOutputRequest(instance_id=instance_id, length=length)
        found: ConsoleOutput = await self._ask_host("console_output", want, ConsoleOutput)
        return found.text

    async def console_target(self, instance_id: str, kind: Literal["vnc", "serial"]) -> str:
        """Where the guest's VNC server, or its serial port, listens: `unix_socket:PATH` or `host:port`."""
        want = ConsoleRequest(instance_id=instance_id, kind=kind)
        found: ConsoleTarget = await self._ask_host("console_target", want, ConsoleTarget)
        return found.target

    async def diagnostics(self, instance_id: str) -> Diagnostics:
        """The guest's use of its host. 409 while it has none, or does not run."""
        found: Diagnostics = await self._ask_host("diagnostics", InstanceRef(instance_id=instance_id), Diagnostics)
        return found

    async def _ask_host(
        self, what: str, arg: ConsoleOutputRequest | ConsoleRequest | InstanceRef, result: type[Any]
    ) -> Any:
        instance = await asyncio.to_thread(self._instance, arg.instance_id)
        if not instance.host:
            raise ServiceError(409, f"Instance {instance.id} is not ready", title="conflictingRequest")
        try:
            return await self._client.execute_activity(
                what,
                arg,
                id=f"{what}-{uuid.uuid4()}",
                task_queue=compute_queue(instance.host),
                result_type=result,
                schedule_to_close_timeout=timedelta(seconds=15),
                retry_policy=RetryPolicy(maximum_attempts=3),
            )
        except ActivityFailureError as error:
            cause = error.cause
            if isinstance(cause, ApplicationError) and cause.details:
                _raise_as(cause, error)
            raise ServiceError(503, f"Host of instance {instance.id} does not answer.") from error
        except RPCError as error:
            _unavailable(error)

    def _instance(self, instance_id: str) -> Instance:
        with self._db.read() as session:
            found = session.get(Instance, instance_id)
        if found is None or found.deleted_at is not None:
            raise ServiceError(404, f"Instance {instance_id} could not be found.", title="itemNotFound")
        return found


def _refused(error: WorkflowUpdateFailedError, verb: str, instance_id: str) -> NoReturn:
    """The refusal of the workflow's first steps with the status that the step chose, or of another operation."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type == BUSY:
        raise Busy(verb, instance_id, cause.details[0]["task_state"]) from error
    if isinstance(cause, ApplicationError):
        _raise_as(cause, error)
    raise ServiceError(500, "The request was refused.") from error


def _raise_as(cause: ApplicationError, error: Exception) -> NoReturn:
    code = next((d["code"] for d in cause.details if isinstance(d, dict) and "code" in d), 409)
    raise ServiceError(int(code), cause.message) from error


def _unavailable(error: RPCError) -> NoReturn:
    raise ServiceError(
        503, "The orchestrator is not reachable; the request was not accepted. Try again.", title="serviceUnavailable"
    ) from error
