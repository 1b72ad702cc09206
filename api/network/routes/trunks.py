"""Routes of the subports of trunks."""

from typing import Any

from fastapi import APIRouter

from api.network.ask import Ask, JsonBody
from api.network.model import subports, trunks
from api.network.model.kinds import View, find
from api.network.model.trunks import TRUNKS
from api.network.routes.answers import check_revision, json
from api.network.schemas.bodies import parse_action
from api.network.schemas.trunks import SubPortList, SubPortNames

router = APIRouter(prefix="/v2.0/trunks/{trunk_id}")


@router.get("/get_subports")
def list_subports(ask: Ask, trunk_id: str) -> Any:
    """Subports of a trunk."""
    with ask.store.read() as session:
        row = find(session, ask, TRUNKS, trunk_id)
        return json({"sub_ports": subports.of_trunks(session, [row.id])[row.id]})


@router.put("/add_subports")
def add_subports(ask: Ask, trunk_id: str, body: JsonBody) -> Any:
    """Add subports to a trunk, all or none."""
    wanted = parse_action(SubPortList, body)
    with ask.store.write() as session:
        row = find(session, ask, TRUNKS, trunk_id)
        check_revision(ask, row)
        trunks.add(session, ask, row, wanted.sub_ports)
        session.flush()
        return json(TRUNKS.render(session, [row], View(ask.sees_all))[0])


@router.put("/remove_subports")
def remove_subports(ask: Ask, trunk_id: str, body: JsonBody) -> Any:
    """Take subports off a trunk, all or none."""
    wanted = parse_action(SubPortNames, body)
    with ask.store.write() as session:
        row = find(session, ask, TRUNKS, trunk_id)
        check_revision(ask, row)
        trunks.take(session, ask, row, [one.port_id for one in wanted.sub_ports])
        return json(TRUNKS.render(session, [row], View(ask.sees_all))[0])
