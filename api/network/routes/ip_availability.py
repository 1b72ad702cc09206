"""Routes that tell how many addresses of each network are in use."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from sqlalchemy import func
from sqlmodel import Session, col, select

from api.network.ask import Ask
from api.network.errors import bad
from api.network.model import ranges
from api.network.model.kinds import batches, find
from api.network.model.networks import NETWORKS
from api.network.model.small_lists import CONTROLS, named
from api.network.routes.answers import json
from infra.tables.network import Network, PortAddress, Subnet

router = APIRouter(prefix="/v2.0/network-ip-availabilities")
FILTERS = {
    "network_id": Network.id,
    "network_name": Network.name,
    "project_id": Network.project_id,
    "tenant_id": Network.project_id,
}


def _shown(session: Session, networks: Sequence[Network], versions: list[int]) -> list[dict[str, Any]]:
    subnets: dict[str, list[dict[str, Any]]] = {row.id: [] for row in networks}
    for part in batches(list(subnets)):
        used = select(PortAddress.subnet_id, func.count()).group_by(PortAddress.subnet_id)
        counts = dict(session.exec(used).all())
        query = select(Subnet).where(col(Subnet.network_id).in_(part), col(Subnet.ip_version).in_(versions))
        for row in session.exec(query.order_by(Subnet.id)):
            subnets[row.network_id].append(_subnet(row, counts.get(row.id, 0)))
    return [
        {
            "network_id": row.id,
            "network_name": row.name,
            "tenant_id": row.project_id,
            "project_id": row.project_id,
            "subnet_ip_availability": subnets[row.id],
            "used_ips": sum(one["used_ips"] for one in subnets[row.id]),
            "total_ips": sum(one["total_ips"] for one in subnets[row.id]),
        }
        for row in networks
    ]


def _subnet(row: Subnet, used: int) -> dict[str, Any]:
    return {
        "subnet_id": row.id,
        "subnet_name": row.name,
        "cidr": row.cidr,
        "ip_version": row.ip_version,
        "used_ips": used,
        "total_ips": sum(last - first + 1 for first, last in ranges.spans(row.allocation_pools)),
    }


@router.get("")
def list_ip_availabilities(ask: Ask) -> Any:
    """Addresses in use and in all pools, by network and subnet; of no network for who may not see them."""
    params, query = ask.request.query_params, select(Network).order_by(Network.id)
    versions = [4, 6]
    for name in dict.fromkeys(params.keys()):
        if name in FILTERS:
            query = query.where(col(FILTERS[name]).in_(params.getlist(name)))
        elif name == "ip_version":
            versions = [int(value) for value in params.getlist(name) if value in ("4", "6")]
        elif name not in CONTROLS:
            raise bad(f"['{name}'] is invalid attribute for filtering")
    with ask.store.read() as session:
        seen = session.exec(query) if ask.allows("get_network_ip_availability", ask.project_id) else ()
        shown = _shown(session, list(seen), versions)
    if "ip_version" in params:
        shown = [one for one in shown if one["subnet_ip_availability"]]
    return json({"network_ip_availabilities": [named(ask, one) for one in shown]})


@router.get("/{network_id}")
def show_ip_availability(ask: Ask, network_id: str) -> Any:
    """Addresses of one network."""
    ask.enforce_sight("get_network_ip_availability")
    with ask.store.read() as session:
        row = find(session, ask, NETWORKS, network_id)
        return json({"network_ip_availability": named(ask, _shown(session, [row], [4, 6])[0])})
