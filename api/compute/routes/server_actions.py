"""POST /servers/{id}/action: one door to many actions (Compute API reference, "Servers - run an action")."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from sqlalchemy import RowMapping

from api.common.errors import ServiceError
from api.compute.acting import ANSWERED, PREPARED
from api.compute.acting.delete import delete
from api.compute.call import Body, Call, ComputeCall
from api.compute.errors import bad_request, not_found, not_implemented, not_ready, wrong_state
from api.compute.records import instances
from api.compute.routes.address_actions import add_fixed_ip, add_floating_ip, remove_fixed_ip, remove_floating_ip
from api.compute.routes.consoles import console_url
from api.compute.routes.gone import WORDS
from api.compute.schemas.actions import (
    NOT_BUILT,
    ConsoleOutput,
    Lock,
    ResetState,
    SerialConsole,
    SpiceConsole,
    VncConsole,
)
from api.compute.validation import action_body, parse
from infra.contracts.operation import STEPS_OF, ActionRequest
from infra.contracts.states import DELETING, SOFT_DELETING
from workflows.action import Action
from workflows.actions import ACTIONS
from workflows.requests import GivenUp

router = APIRouter()
Handler = Callable[[ComputeCall, RowMapping, dict[str, Any]], Awaitable[Response]]
GONE = {"resetNetwork": 1000, "os-getRDPConsole": 5}
"""Of the drivers for Xen and Hyper-V only, and gone with them; with their last microversions."""
UNPRINTABLE = {code: None for code in (*range(32), *range(0x7F, 0xA0)) if code not in (9, 10)}
"""C0 and C1 control characters (ECMA-48) but tab and newline: a terminal would obey them."""


@router.post("/servers/{server_id}/action")
async def run_action(call: Call, server_id: str, body: Body) -> Response:
    """Run the action that the body's only key names."""
    if len(body) != 1:
        raise bad_request("Malformed request body")
    name = next(iter(body))
    if (action := ACTIONS.get(name)) and not action.route:
        return await start_action(call, server_id, action, body)
    if name in NOT_BUILT:
        first, last = NOT_BUILT[name]
        if not first <= call.version <= last:
            raise not_found()
        await run_in_threadpool(instances.read, call, server_id)
        raise not_implemented(f"The action {name} is not implemented.")
    if call.version <= GONE.get(name, 0):
        raise ServiceError(410, WORDS)
    if name in GONE:
        raise not_found()
    if name not in AT_ONCE:
        raise bad_request(f"There is no such action: {name[:64]}")
    rule, last, handler = AT_ONCE[name]
    if call.version > last:
        raise not_found()
    row = await run_in_threadpool(instances.read, call, server_id, rule)
    return await handler(call, row, body)


async def start_action(call: ComputeCall, server_id: str, action: Action, body: dict[str, Any]) -> Response:
    """An action that is an operation: 202 once its workflow has shown in the record that it runs."""
    if not action.since <= call.version <= action.until:
        raise not_found()
    row = await run_in_threadpool(instances.read, call, server_id, action.rule)
    wish = action_body(call, action.body, body, action.name)
    instances.require_unlocked(call, row)
    if action.name in PREPARED:
        wish = await run_in_threadpool(_prepared, call, row, action, wish)
    accepted = await call.operations.start(action, action_request(call, row, action, wish))
    if action.name in ANSWERED:
        return await run_in_threadpool(ANSWERED[action.name], call, accepted, wish)
    if accepted.answer:
        return JSONResponse(accepted.answer, status_code=202)
    return Response(status_code=action.status)


def _prepared(call: ComputeCall, row: RowMapping, action: Action, wish: dict[str, Any]) -> dict[str, Any]:
    """The body as the workflow gets it. Of a server that does not stand where the action begins, that is told, as by
    Nova, and not what else is wrong."""
    try:
        return PREPARED[action.name](call, row, wish)
    except ServiceError as refused:
        transition = action.transition_for(wish)
        if refused.status == 400 and row["vm_state"] not in transition.allowed:
            raise wrong_state(transition.verb, row["id"], "vm_state", row["vm_state"]) from refused
        raise


def require_place(row: RowMapping, action: Action) -> None:
    """409 where the server does not stand where the action begins: told, as by Nova, before what else is wrong."""
    if row["vm_state"] not in action.transition.allowed:
        raise wrong_state(action.transition.verb, row["id"], "vm_state", row["vm_state"])


def action_request(call: ComputeCall, row: RowMapping, action: Action, body: dict[str, Any]) -> ActionRequest:
    """What the workflow of `action` gets: the checked body, the transition that it asks for, the deadline in force."""
    return ActionRequest(
        requester=call.requester,
        instance_id=row["id"],
        action=action.name,
        transition=action.transition_for(body),
        body=body,
        deadline_s=call.settings.action_deadlines_s.get(action.name, action.deadline.total_seconds()),
        host=row["host"] or "",
        steps_of=STEPS_OF,
    )


async def get_console_output(call: ComputeCall, row: RowMapping, body: dict[str, Any]) -> Response:
    wish = parse(call, ConsoleOutput, body, "os-getConsoleOutput")
    if not row["host"]:
        raise not_ready(row["id"])
    length = None if wish.length in (None, -1) else wish.length
    text = await call.operations.console_output(row["id"], length)
    return JSONResponse({"output": text.translate(UNPRINTABLE)})


async def get_vnc_console(call: ComputeCall, row: RowMapping, body: dict[str, Any]) -> Response:
    wish = parse(call, VncConsole, body, "os-getVNCConsole")
    url = await console_url(call, row, wish.type)
    return JSONResponse({"console": {"type": wish.type, "url": url}})


async def get_serial_console(call: ComputeCall, row: RowMapping, body: dict[str, Any]) -> Response:
    wish = parse(call, SerialConsole, body, "os-getSerialConsole")
    url = await console_url(call, row, wish.type)
    return JSONResponse({"console": {"type": wish.type, "url": url}})


async def get_spice_console(call: ComputeCall, row: RowMapping, body: dict[str, Any]) -> Response:
    """As a Nova whose hosts have no SPICE."""
    url = await console_url(call, row, parse(call, SpiceConsole, body, "os-getSPICEConsole").type)
    return JSONResponse({"console": {"type": "spice-html5", "url": url}})


async def force_delete(call: ComputeCall, row: RowMapping, _body: dict[str, Any]) -> Response:
    await delete(call, row)
    return Response(status_code=202)


async def reset_state(call: ComputeCall, row: RowMapping, body: dict[str, Any]) -> Response:
    """What runs is cancelled first, and undoes itself: its end would overwrite the state. A delete goes on: 409."""
    wish = parse(call, ResetState, body, "os-resetState")
    if row["task_state"] in (DELETING, SOFT_DELETING):
        raise wrong_state("reset_state", row["id"], "task_state", row["task_state"])
    if row["task_state"]:
        await call.operations.give_up(row["id"], GivenUp.RESET)
    await run_in_threadpool(instances.reset_state, call, row, wish.state)
    return Response(status_code=202)


async def inject_network_info(call: ComputeCall, row: RowMapping, _body: dict[str, Any]) -> Response:
    """What Nova's libvirt driver makes of it: nothing. Metadata service and next config drive tell today's network."""
    instances.require_unlocked(call, row)
    return Response(status_code=202)


async def lock(call: ComputeCall, row: RowMapping, body: dict[str, Any]) -> Response:
    wish = Lock() if body["lock"] is None or not call.since(73) else parse(call, Lock, body, "lock")
    await run_in_threadpool(instances.lock, call, row, wish.locked_reason)
    return Response(status_code=202)


async def unlock(call: ComputeCall, row: RowMapping, _body: dict[str, Any]) -> Response:
    await run_in_threadpool(instances.unlock, call, row)
    return Response(status_code=202)


async def retry(call: ComputeCall, row: RowMapping, _body: dict[str, Any]) -> Response:
    instances.require_unlocked(call, row)
    await call.operations.retry(call.requester, row["id"])
    return Response(status_code=202)


async def resume(call: ComputeCall, row: RowMapping, _body: dict[str, Any]) -> Response:
    instances.require_unlocked(call, row)
    await call.operations.resume(call.requester, row["id"], "retry")
    return Response(status_code=202)


async def abort(call: ComputeCall, row: RowMapping, _body: dict[str, Any]) -> Response:
    instances.require_unlocked(call, row)
    await call.operations.resume(call.requester, row["id"], "abort")
    return Response(status_code=202)


AT_ONCE: dict[str, tuple[str, int, Handler]] = {
    "os-getConsoleOutput": ("os-console-output", 1000, get_console_output),
    "os-getVNCConsole": ("os-remote-consoles", 5, get_vnc_console),
    "os-getSerialConsole": ("os-remote-consoles", 5, get_serial_console),
    "os-getSPICEConsole": ("os-remote-consoles", 5, get_spice_console),
    "addFixedIp": ("os-multinic:add", 43, add_fixed_ip),
    "removeFixedIp": ("os-multinic:remove", 43, remove_fixed_ip),
    "addFloatingIp": ("os-floating-ips:add", 43, add_floating_ip),
    "removeFloatingIp": ("os-floating-ips:remove", 43, remove_floating_ip),
    "forceDelete": ("os-deferred-delete:force", 1000, force_delete),
    "os-resetState": ("os-admin-actions:reset_state", 1000, reset_state),
    "injectNetworkInfo": ("os-admin-actions:inject_network_info", 1000, inject_network_info),
    "lock": ("os-lock-server:lock", 1000, lock),
    "unlock": ("os-lock-server:unlock", 1000, unlock),
    "kilonova:retry": ("kilonova:retry", 1000, retry),
    "kilonova:resume": ("kilonova:resume", 1000, resume),
    "kilonova:abort": ("kilonova:abort", 1000, abort),
}
"""Actions that are no operation, done before the answer: rule, last microversion, what it does."""
