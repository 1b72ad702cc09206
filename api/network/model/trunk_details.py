"""What a trunk's parent port shows of its trunk."""

from collections.abc import Sequence
from typing import Any

from sqlmodel import Session, col, select

from api.network.model.kinds import batches
from infra.tables.network import Port, SubPort, Trunk


def of_ports(session: Session, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Trunk and subports of those of the ports `ids` that are parents."""
    found: dict[str, dict[str, Any]] = {}
    for part in batches(ids):
        for trunk_id, port_id in session.exec(select(Trunk.id, Trunk.port_id).where(col(Trunk.port_id).in_(part))):
            found[port_id] = {"trunk_id": trunk_id, "sub_ports": _subports(session, trunk_id)}
    return found


def _subports(session: Session, trunk_id: str) -> list[dict[str, Any]]:
    query = select(SubPort, Port.mac_address).join(Port, col(Port.id) == col(SubPort.port_id))
    return [
        {
            "port_id": row.port_id,
            "segmentation_type": row.segmentation_type,
            "segmentation_id": row.segmentation_id,
            "mac_address": mac,
        }
        for row, mac in session.exec(query.where(SubPort.trunk_id == trunk_id).order_by(col(SubPort.segmentation_id)))
    ]
