"""Routes of what is done with routers beside the common five: interfaces and static routes."""

from typing import Any

from fastapi import APIRouter
from sqlmodel import Session

from api.network.ask import Ask, Asker, JsonBody
from api.network.model import interfaces, router_routes
from api.network.model.kinds import find, show
from api.network.model.routers import ROUTERS
from api.network.routes.answers import check_revision, json
from api.network.schemas.bodies import parse_action, parse_update
from api.network.schemas.routers import Interface, RouteList
from infra.tables.network import Router

router = APIRouter(prefix="/v2.0/routers/{router_id}")


def _found(session: Session, ask: Asker, router_id: str) -> Router:
    row = find(session, ask, ROUTERS, router_id)
    check_revision(ask, row)
    return row


@router.put("/add_router_interface")
def add_router_interface(ask: Ask, router_id: str, body: JsonBody) -> Any:
    """Plug a router into a subnet, or give it a port."""
    wanted = parse_action(Interface, body)
    with ask.store.write() as session:
        return json(interfaces.add(session, ask, _found(session, ask, router_id), wanted))


@router.put("/remove_router_interface")
def remove_router_interface(ask: Ask, router_id: str, body: JsonBody) -> Any:
    """Take a router off a subnet, or a port off a router."""
    wanted = parse_action(Interface, body)
    with ask.store.write() as session:
        return json(interfaces.remove(session, ask, _found(session, ask, router_id), wanted))


@router.put("/add_extraroutes")
def add_extraroutes(ask: Ask, router_id: str, body: JsonBody) -> Any:
    """Add static routes, whatever other writers add at the same time."""
    return _routes(ask, router_id, body, add=True)


@router.put("/remove_extraroutes")
def remove_extraroutes(ask: Ask, router_id: str, body: JsonBody) -> Any:
    """Take static routes away; one that is not there is no error."""
    return _routes(ask, router_id, body, add=False)


def _routes(ask: Asker, router_id: str, body: dict[str, Any], *, add: bool) -> Any:
    routes = [route.model_dump() for route in parse_update(ROUTERS, RouteList, body).routes]
    with ask.store.write() as session:
        row = _found(session, ask, router_id)
        ask.enforce("add_extraroutes" if add else "remove_extraroutes", row.project_id)
        (router_routes.add if add else router_routes.take)(session, row, routes)
        row.touch()
        session.flush()
        return json(show(session, ask, ROUTERS, row))
