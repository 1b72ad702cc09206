"""Shared file systems of servers (2.97): no host here can have any (Compute API reference, "Server shares")."""

from typing import Annotated

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import StringConstraints
from sqlalchemy import RowMapping

from api.compute.call import Body, Call, versions
from api.compute.errors import forbidden, not_found, wrong_state
from api.compute.records import instances
from api.compute.validation import Strict, Uuid, check_query, parse

router = APIRouter()
FROM = [versions(97)]
RULE = "os-server-shares:"


class NewShare(Strict):
    share_id: Uuid
    tag: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9-]*$")] | None = None


@router.get("/servers/{server_id}/shares", dependencies=FROM)
def list_shares(call: Call, server_id: str) -> Response:
    """Shares of a server: none."""
    check_query(call, since=97)
    instances.read(call, server_id, RULE + "index")
    return JSONResponse({"shares": []})


@router.get("/servers/{server_id}/shares/{share_id}", dependencies=FROM)
def show_share(call: Call, server_id: str, share_id: str) -> Response:
    """404: a server has no shares."""
    check_query(call, since=97)
    instances.read(call, server_id, RULE + "show")
    raise _missing(share_id)


@router.post("/servers/{server_id}/shares", dependencies=FROM)
def attach_share(call: Call, server_id: str, body: Body) -> Response:
    """403, as Nova says where hosts cannot share file systems with their guests."""
    row = instances.read(call, server_id, RULE + "create")
    parse(call, NewShare, body, "share")
    _require_state(row, "create share", "stopped")
    raise forbidden("Feature not supported until computes have not been updated.")


@router.delete("/servers/{server_id}/shares/{share_id}", dependencies=FROM)
def detach_share(call: Call, server_id: str, share_id: str) -> Response:
    """404: a server has no shares."""
    row = instances.read(call, server_id, RULE + "delete")
    _require_state(row, "delete share", "stopped", "error")
    raise _missing(share_id)


def _require_state(row: RowMapping, verb: str, *allowed: str) -> None:
    if row["vm_state"] not in allowed:
        raise wrong_state(verb, row["id"], "vm_state", row["vm_state"])


def _missing(share_id: str) -> Exception:
    return not_found(f"Share {share_id[:64]} could not be found.")
