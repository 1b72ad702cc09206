"""Subports: what their trunks show of them, the host that they share with their parent, and what follows from theirs.

Hosts report the status of each subport as of any port; a trunk's is what those of its ports come to."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, exists, not_
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from api.network.model.kinds import batches
from infra.tables.network import Port, SubPort, Trunk

OWNER = "trunk:subport"
NAMES = ("port_id", "segmentation_type", "segmentation_id")


def _status() -> ColumnElement[str]:
    """Neutron's: BUILD until the parent's host has said of every subport whether it is carried, DEGRADED when it says
    that some are and some are not, DOWN when the trunk, its guest or all of its subports are."""
    parent, below = aliased(Port), aliased(Port)
    here = (col(parent.id) == col(Trunk.port_id), col(parent.host) != "", col(parent.status) == "ACTIVE")
    mine = exists().where(col(SubPort.trunk_id) == col(Trunk.id), col(below.id) == col(SubPort.port_id))
    return case(
        (not_(col(Trunk.admin_state_up)), "DOWN"),
        (not_(exists().where(*here)), "DOWN"),
        (mine.where(col(below.status) == "BUILD"), "BUILD"),
        (not_(mine.where(col(below.status) != "ACTIVE")), "ACTIVE"),
        (mine.where(col(below.status) == "ACTIVE"), "DEGRADED"),
        else_="DOWN",
    )


STATUS = _status()


def states(session: Session, ids: Sequence[str]) -> dict[str, str]:
    """Status of the trunks `ids`."""
    return {
        trunk_id: status
        for part in batches(ids)
        for trunk_id, status in session.exec(select(Trunk.id, STATUS).where(col(Trunk.id).in_(part)))
    }


def of_trunks(session: Session, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Subports of the trunks `ids`."""
    found: dict[str, list[dict[str, Any]]] = {trunk_id: [] for trunk_id in ids}
    for part in batches(ids):
        query = select(SubPort).where(col(SubPort.trunk_id).in_(part)).order_by(col(SubPort.segmentation_id))
        for row in session.exec(query):
            found[row.trunk_id].append({name: getattr(row, name) for name in NAMES})
    return found


def take_in(port: Port, trunk: Trunk) -> None:
    """It is the trunk's, and nobody's to attach."""
    port.device_owner, port.device_id = OWNER, trunk.id
    port.touch()


def let_go(port: Port) -> None:
    port.device_owner = port.device_id = port.host = ""
    port.status = "DOWN"
    port.touch()


def follow(session: Session, parent: Port) -> None:
    """The subports of `parent` are where it is: on its host, which says how they are once it has heard of it."""
    query = select(Port, Trunk.admin_state_up).join(SubPort, col(SubPort.port_id) == col(Port.id))
    query = query.join(Trunk, col(Trunk.id) == col(SubPort.trunk_id)).where(Trunk.port_id == parent.id)
    for port, enabled in session.exec(query):
        if port.host != parent.host:
            port.host, port.status = parent.host, "BUILD" if parent.host and enabled else "DOWN"
            port.touch()
