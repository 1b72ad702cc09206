"""Routers: what they look like, making, changing and deleting them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from api.network.ask import Asker
from api.network.errors import conflict
from api.network.model import gateways, hosts, own_ports, placement, quotas, router_routes, tags, zones
from api.network.model.kinds import (
    Kind,
    View,
    batches,
    boolean,
    standard,
    standard_filters,
    standard_sort,
    tags_of,
    text,
)
from api.network.model.port_view import fixed_ips
from api.network.schemas.routers import RouterCreate, RouterUpdate
from infra.tables.network import FloatingIp, Port, Router


def _visible(project_id: str) -> ColumnElement[bool]:
    return col(Router.project_id) == project_id


def _render(session: Session, rows: Sequence[Router], _view: View) -> list[dict[str, Any]]:
    words, ways, live = tags_of(session, rows), _ways_out(session, rows), hosts.alive_names(session)
    return [
        {
            "id": row.id,
            "name": row.name,
            "admin_state_up": row.admin_state_up,
            "status": _status(row) if row.host in live else "DOWN",
            "external_gateway_info": ways.get(row.id),
            "routes": row.routes,
            "availability_zone_hints": row.availability_zone_hints,
            "availability_zones": [zones.ZONE] if row.host in live else [],
        }
        | standard(row, words[row.id])
        for row in rows
    ]


def _status(row: Router) -> str:
    """What its host says. One that was switched off, and is off, is as it should be: ACTIVE, as in Neutron."""
    return "ACTIVE" if row.status == "DOWN" and not row.admin_state_up else row.status


def _ways_out(session: Session, rows: Sequence[Router]) -> dict[str, dict[str, Any]]:
    snat = {row.id: row.enable_snat for row in rows}
    ports = [
        port
        for part in batches(list(snat))
        for port in session.exec(
            select(Port).where(col(Port.device_id).in_(part), Port.device_owner == own_ports.GATEWAY)
        )
    ]
    addresses = fixed_ips(session, [port.id for port in ports])
    return {
        port.device_id: {
            "network_id": port.network_id,
            "external_fixed_ips": addresses[port.id],
            "enable_snat": snat[port.device_id],
        }
        for port in ports
    }


ROUTERS = Kind(
    member="router",
    collection="routers",
    table=Router,
    missing=("RouterNotFound", "Router {} could not be found"),
    visible=_visible,
    render=_render,
    filters=standard_filters(Router) | {"name": text(Router.name), "admin_state_up": boolean(Router.admin_state_up)},
    sortable=standard_sort(Router) | {"name": Router.name, "admin_state_up": Router.admin_state_up},
    unfiltered=frozenset(
        {"status", "external_gateway_info", "routes", "availability_zone_hints", "availability_zones"}
    ),
)


def create(session: Session, ask: Asker, body: RouterCreate, _given: list[str]) -> Router:
    project_id = ask.owner(body.project_id, body.tenant_id)
    ask.enforce("create_router", project_id)
    zones.check_hints(session, body.availability_zone_hints)
    quotas.check(session, project_id, "router")
    plain = {"name", "description", "admin_state_up", "availability_zone_hints"}
    row = Router(project_id=project_id, **body.model_dump(include=plain))
    session.add(row)
    session.flush()
    tags.add(session, row, body.tags)
    if body.external_gateway_info:
        gateways.change(session, ask, row, body.external_gateway_info, "create")
    placement.replace_router(session, row)
    return row


def is_settled(row: Router) -> bool:
    """Whether the host that is to carry it has said what became of it, or there is none. Clients that take Neutron for
    granted want a router ACTIVE in the answer that makes or changes it."""
    return row.status != "BUILD"


def update(session: Session, ask: Asker, row: Router, body: RouterUpdate, given: list[str]) -> None:
    ask.enforce("update_router", row.project_id)
    if "admin_state_up" in given and body.admin_state_up and not row.admin_state_up and row.status == "DOWN":
        row.status = "BUILD"  # until its host has it up again
    for name in ("name", "description", "admin_state_up"):
        if name in given:
            setattr(row, name, getattr(body, name))
    if "external_gateway_info" in given:
        gateways.change(session, ask, row, body.external_gateway_info, "update")
        placement.replace_router(session, row)
    if "routes" in given:
        router_routes.replace(session, row, [route.model_dump() for route in body.routes])
    row.touch()


def remove(session: Session, ask: Asker, row: Router) -> None:
    """409 RouterInUse while it has interfaces; its gateway goes with it."""
    ask.enforce("delete_router", row.project_id)
    if own_ports.of_router(session, row.id, own_ports.INTERFACE):
        raise conflict("RouterInUse", f"Router {row.id} still has ports")
    if session.exec(select(FloatingIp.id).where(FloatingIp.router_id == row.id)).first():
        raise conflict("RouterInUse", f"Router {row.id} is required by one or more floating IPs")
    gateways.drop(session, row)
    tags.forget(session, row.id)
    session.delete(row)
