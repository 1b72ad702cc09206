"""Trunks: what they look like, making and deleting them, and their subports."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from api.common.errors import ServiceError
from api.network.ask import Asker
from api.network.errors import conflict, typed
from api.network.model import placement, quotas, subports, tags
from api.network.model.kinds import (
    Kind,
    View,
    boolean,
    find,
    standard,
    standard_filters,
    standard_sort,
    tags_of,
    text,
)
from api.network.model.port_view import PORTS
from api.network.schemas.trunks import SubPortBody, TrunkCreate, TrunkUpdate
from infra.tables.network import Network, Port, SubPort, Trunk


def _visible(project_id: str) -> ColumnElement[bool]:
    return col(Trunk.project_id) == project_id


def _render(session: Session, rows: Sequence[Trunk], _view: View) -> list[dict[str, Any]]:
    ids = [row.id for row in rows]
    words, below, states = tags_of(session, rows), subports.of_trunks(session, ids), subports.states(session, ids)
    return [
        {
            "id": row.id,
            "name": row.name,
            "port_id": row.port_id,
            "admin_state_up": row.admin_state_up,
            "status": states[row.id],
            "sub_ports": below[row.id],
        }
        | standard(row, words[row.id])
        for row in rows
    ]


TRUNKS = Kind(
    member="trunk",
    collection="trunks",
    table=Trunk,
    missing=("TrunkNotFound", "Trunk {} could not be found."),
    visible=_visible,
    render=_render,
    filters=standard_filters(Trunk)
    | {
        "name": text(Trunk.name),
        "port_id": text(Trunk.port_id),
        "admin_state_up": boolean(Trunk.admin_state_up),
        "status": text(subports.STATUS),
    },
    sortable=standard_sort(Trunk) | {"name": Trunk.name, "port_id": Trunk.port_id},
    unfiltered=frozenset({"sub_ports"}),
)


def create(session: Session, ask: Asker, body: TrunkCreate, _given: list[str]) -> Trunk:
    """409 for a port that is bound, or part of a trunk."""
    project_id = ask.owner(body.project_id, body.tenant_id)
    ask.enforce("create_trunk", project_id)
    quotas.check(session, project_id, "trunk")
    port = find(session, ask, PORTS, body.port_id)
    _check_apart(session, port)
    if port.host:
        raise _parent_in_use(port)
    row = Trunk(
        project_id=project_id, port_id=port.id, **body.model_dump(include={"name", "description", "admin_state_up"})
    )
    session.add(row)
    session.flush()
    _add(session, ask, row, body.sub_ports)
    tags.add(session, row, body.tags)
    return row


def _check_apart(session: Session, port: Port) -> None:
    if session.get(SubPort, port.id):
        raise conflict("TrunkPortInUse", f"Port {port.id} is in use by another trunk.")
    if session.exec(select(Trunk.id).where(Trunk.port_id == port.id)).first():
        raise _parent_in_use(port)


def _parent_in_use(port: Port) -> ServiceError:
    words = f"Port {port.id} is currently in use and is not eligible for use as a parent port."
    return conflict("ParentPortInUse", words)


def update(session: Session, ask: Asker, row: Trunk, body: TrunkUpdate, _given: list[str]) -> None:
    ask.enforce("update_trunk", row.project_id)
    for name, value in body.model_dump(include=body.model_fields_set).items():
        setattr(row, name, value)
    subports.follow(session, session.get_one(Port, row.port_id))
    row.touch()


def remove(session: Session, ask: Asker, row: Trunk) -> None:
    """409 while the parent is bound to a host."""
    ask.enforce("delete_trunk", row.project_id)
    if session.get_one(Port, row.port_id).host:
        raise conflict("TrunkInUse", f"Trunk {row.id} is currently in use.")
    take(session, ask, row, [one["port_id"] for one in subports.of_trunks(session, [row.id])[row.id]], deleting=True)
    tags.forget(session, row.id)
    session.delete(row)


def add(session: Session, ask: Asker, row: Trunk, wanted: Iterable[SubPortBody]) -> None:
    """409 for a port that is in use, a VLAN that is taken, and a trunk that is switched off."""
    ask.enforce("add_subports", row.project_id)
    _check_enabled(row)
    _add(session, ask, row, wanted)
    row.touch()


def _check_enabled(row: Trunk) -> None:
    if not row.admin_state_up:
        raise conflict("TrunkDisabled", f"Trunk {row.id} is currently disabled.")


def _add(session: Session, ask: Asker, row: Trunk, wanted: Iterable[SubPortBody]) -> None:
    parent = session.get_one(Port, row.port_id)
    largest = _mtu(session, parent)
    for one in wanted:
        port = find(session, ask, PORTS, one.port_id)
        _check_apart(session, port)
        if port.device_id:
            words = f"Port {port.id} already has an attached device {port.device_id}."
            raise conflict("PortInUse", f"Unable to complete operation on port {port.id}. {words}")
        if (mtu := _mtu(session, port)) > largest:
            words = f"MTU {mtu} of subport {port.id} cannot be greater than MTU {largest} of trunk {row.id}."
            raise conflict("SubPortMtuGreaterThanTrunkPortMtu", words)
        same = select(SubPort).where(SubPort.trunk_id == row.id, SubPort.segmentation_id == one.segmentation_id)
        if session.exec(same).first():
            words = (
                f"segmentation_type {one.segmentation_type} and segmentation_id {one.segmentation_id} already in use "
                f"on trunk {row.id}."
            )
            raise conflict("DuplicateSubPort", words)
        session.add(SubPort(trunk_id=row.id, **one.model_dump()))
        subports.take_in(port, row)
        session.flush()
    subports.follow(session, parent)
    placement.place(session)


def _mtu(session: Session, port: Port) -> int:
    return session.get_one(Network, port.network_id).mtu


def take(session: Session, ask: Asker, row: Trunk, port_ids: Iterable[str], *, deleting: bool = False) -> None:
    """404 for a port that is no subport of the trunk."""
    if not deleting:
        ask.enforce("remove_subports", row.project_id)
        _check_enabled(row)
    for port_id in port_ids:
        subport = session.get(SubPort, port_id)
        if subport is None or subport.trunk_id != row.id:
            words = f"SubPort {port_id} on trunk {row.id} could not be found."
            raise typed(404, "SubPortNotFound", words)
        session.delete(subport)
        subports.let_go(session.get_one(Port, port_id))
    row.touch()
    session.flush()
