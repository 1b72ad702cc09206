"""Routes of agents: the hosts that report, and what they say of themselves."""

from typing import Any

from fastapi import APIRouter
from sqlalchemy import func
from sqlmodel import Session, col, select

from api.network.ask import Ask, Asker, JsonBody
from api.network.errors import typed
from api.network.model import placement, zones
from api.network.model.hosts import alive_names
from api.network.model.small_lists import chosen, named
from api.network.routes.answers import json
from api.network.schemas.bodies import parse_member
from api.network.schemas.hosts import AgentUpdate
from infra.tables.network import Host, Network, Port, Router

router = APIRouter(prefix="/v2.0")
TYPE, BINARY = "Kilonova host agent", "kilonova-worker-compute"
TIME = "%Y-%m-%d %H:%M:%S"
FILTERS = ("id", "agent_type", "binary", "topic", "host", "admin_state_up", "alive", "availability_zone", "description")


def _shown(session: Session, row: Host, live: set[str]) -> dict[str, Any]:
    return {
        "id": row.id,
        "agent_type": TYPE,
        "binary": BINARY,
        "host": row.name,
        "topic": "N/A",
        "availability_zone": zones.ZONE,
        "admin_state_up": row.admin_state_up,
        "alive": row.name in live,
        "description": row.description,
        "created_at": row.created_at.strftime(TIME),
        "started_at": row.created_at.strftime(TIME),
        "heartbeat_timestamp": row.seen_at.strftime(TIME),
        "resources_synced": None,
        "configurations": {
            "tunneling_ip": row.tunnel_ip,
            "tunnel_types": ["vxlan"],
            "bridge_mappings": row.bridge_mappings,
            "devices": _count(session, Port, Port.host, row.name),
            "routers": _count(session, Router, Router.host, row.name),
            "networks": _count(session, Network, Network.dhcp_host, row.name),
        },
    }


def _count(session: Session, table: Any, column: Any, host: str) -> int:
    return session.exec(select(func.count()).select_from(table).where(col(column) == host)).one()


@router.get("/agents")
def list_agents(ask: Ask) -> Any:
    """Hosts that report, or did; for who may not see them there are none, as in each of Neutron's lists."""
    with ask.store.read() as session:
        live = alive_names(session)
        seen = session.exec(select(Host).order_by(Host.name)) if ask.allows("get_agent", ask.project_id) else ()
        agents = [_shown(session, row, live) for row in seen]
    return json({"agents": chosen(ask, agents, *FILTERS)})


def _found(session: Session, ask: Asker, agent_id: str) -> Host:
    row = session.exec(select(Host).where(Host.id == agent_id)).first()
    if row is None:
        raise typed(404, "AgentNotFound", f"Agent {agent_id} could not be found.")
    return row


@router.get("/agents/{agent_id}")
def show_agent(ask: Ask, agent_id: str) -> Any:
    """One host that reports, or did."""
    ask.enforce_sight("get_agent")
    with ask.store.read() as session:
        shown = _shown(session, _found(session, ask, agent_id), alive_names(session))
        return json({"agent": named(ask, shown)})


@router.put("/agents/{agent_id}")
def update_agent(ask: Ask, agent_id: str, body: JsonBody) -> Any:
    """Describe a host, or keep routers and DHCP off it (`admin_state_up` false)."""
    ask.enforce("update_agent", ask.project_id)
    wanted = parse_member("agent", AgentUpdate, body)
    with ask.store.write() as session:
        row = _found(session, ask, agent_id)
        for name in wanted.model_fields_set:
            setattr(row, name, getattr(wanted, name))
        session.flush()
        placement.place(session)
        return json({"agent": _shown(session, row, alive_names(session))})


@router.delete("/agents/{agent_id}", status_code=204)
def delete_agent(ask: Ask, agent_id: str) -> None:
    """Forget a host; one that still reports is back with its next report."""
    ask.enforce("delete_agent", ask.project_id)
    with ask.store.write() as session:
        session.delete(_found(session, ask, agent_id))
        session.flush()
        placement.place(session)


@router.get("/availability_zones")
def list_availability_zones(ask: Ask) -> Any:
    """Zones that have a host."""
    with ask.store.read() as session:
        found = zones.listed(session)
    return json({"availability_zones": chosen(ask, found, "name", "resource", "state")})
