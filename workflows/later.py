"""How an action has another begin later, by itself, unless the server's state has changed: `due_after` says what, and
`ServerOperation.begin_later` sets its timer once the record tells the action's success. For example, at the end of a
shelve: `self.begin_later(due_after(req, "shelved", delay, Offload, ActionRequest(…)))`; for a reclaim, a DeleteRequest
with DeleteInstance. What the API must decide (whether, after how long) travels in the action's body."""

from datetime import timedelta
from uuid import UUID, uuid5

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from infra.contracts.later import Due
    from infra.contracts.operation import ActionRequest
    from infra.contracts.requests import Cause, DeleteRequest


def due_after(
    req: ActionRequest, vm_state: str, delay: timedelta, begins: type, request: ActionRequest | DeleteRequest
) -> Due:
    """`request` begins as an operation of kind `begins`, `delay` from now, if action `req` is then still the last of
    its kind and the server in `vm_state`, where it left it. It is shown as asked for by the same user, under an id of
    its own, and has no token: its steps must not need one."""
    cause = Cause(event=req.transition.event, request_id=req.requester.request_id, vm_state=vm_state)
    return due_by(cause, delay, begins, request)


def due_by(cause: Cause, delay: timedelta, begins: type, request: ActionRequest | DeleteRequest) -> Due:
    """The same, for what is no action."""
    due = Due(
        instance_id=request.instance_id,
        at=workflow.now() + delay,
        cause=cause,
        workflow=begins.__name__,
        request=request.model_copy(update={"follows": cause}),
    )
    return numbered(due, 0)


def numbered(due: Due, tries: int) -> Due:
    """The same once more, as a request of its own: one that failed is over."""
    name = f"{due.workflow}/{due.cause.request_id}/{tries}"
    requester = due.request.requester.model_copy(
        update={"token": "", "request_id": f"req-{uuid5(UUID(due.instance_id), name)}"}
    )
    request = due.request.model_copy(update={"requester": requester})
    return due.model_copy(update={"tries": tries, "request": request})
