"""Routes of the network that a project gets when it names none."""

from typing import Any

from fastapi import APIRouter

from api.network.ask import Ask, Asker
from api.network.errors import bad_request, typed
from api.network.model import auto_topology
from api.network.routes.answers import json

router = APIRouter(prefix="/v2.0/auto-allocated-topology/{project_id}")


def _whose(ask: Asker, project_id: str) -> str:
    """`null` in the path is the caller's project."""
    wanted = ask.project_id if project_id in ("null", "None") else project_id
    if wanted != ask.project_id and not ask.allows("get_auto_allocated_topology", wanted):
        raise typed(403, "NotAuthorized", "Not authorized.")
    return wanted


@router.get("")
def show_auto_topology(ask: Ask, project_id: str) -> Any:
    """The project's network, made with a router to the default external network unless it is there; with
    `fields=dry-run` only whether it could be made."""
    wanted = _whose(ask, project_id)
    fields = ask.texts("fields")
    if fields and fields != ["dry-run"]:
        raise bad_request("auto_allocate", "Unrecognized field")
    if fields:
        with ask.store.read() as session:
            if not auto_topology.known(session, wanted):
                auto_topology.requirements(session)
        return _shown("dry-run=pass", wanted)
    with ask.store.read() as session:
        if found := auto_topology.known(session, wanted):
            return _shown(found.network_id, wanted)
    with ask.store.write() as session:
        return _shown(auto_topology.make(session, ask, wanted).network_id, wanted)


def _shown(network_id: str, project_id: str) -> Any:
    return json({"auto_allocated_topology": {"id": network_id, "tenant_id": project_id, "project_id": project_id}})


@router.delete("", status_code=204)
def delete_auto_topology(ask: Ask, project_id: str) -> None:
    """Delete the project's network, subnets and router; 409 while they are in use."""
    wanted = _whose(ask, project_id)
    with ask.store.write() as session:
        row = auto_topology.known(session, wanted)
        if row is None:
            words = f"Auto-allocated topology for project {wanted} could not be found."
            raise typed(404, "HTTPNotFound", words)
        auto_topology.remove(session, ask, row)
