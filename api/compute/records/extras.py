"""What only admins see of servers and what lies in other rows: their hosts' state, their user data."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from cryptography.exceptions import InvalidTag
from sqlalchemy import Connection, RowMapping, bindparam, select
from sqlmodel import Session

from api.compute.call import ComputeCall
from api.compute.records import hosts
from api.compute.records.instances import table
from infra.codec import KeyRing

EXTENDED = "os_compute_api:os-extended-server-attributes"
SEALED = select(table.c.id, table.c.sealed_request).where(
    table.c.id.in_(bindparam("servers", expanding=True)), table.c.sealed_request.is_not(None)
)


@dataclass(frozen=True)
class Extras:
    """`zones` maps hosts to their availability zones, `host_status` to what 2.16 shows of them (None hides it),
    `user_data` server ids to base64."""

    zones: dict[str, str] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()  # names that faults must not tell this caller
    host_status: dict[str, str] | None = None
    user_data: dict[str, str | None] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)  # server id → names of its ports' security groups
    ports: dict[str, list[str]] | None = None  # port id → its addresses, of all that these servers have; None: unknown


def of(session: Session | Connection, call: ComputeCall, rows: Sequence[RowMapping]) -> Extras:
    data = {}
    if call.since(3) and rows and call.allows(EXTENDED):
        data = _user_data(session, call.request.app.state.ring, [row["id"] for row in rows])
    told = call.context.is_admin or not any(row["fault"] for row in rows)
    names = () if told else hosts.names(session)
    on = hosts.of_servers(session, rows)
    return Extras(hosts.zones_of(on), names, hosts.status_for(call, on), data)


def _user_data(session: Session | Connection, ring: KeyRing, ids: list[str]) -> dict[str, str | None]:
    return {row.id: _opened(ring, row.sealed_request) for row in session.execute(SEALED, {"servers": ids})}


def _opened(ring: KeyRing, sealed: str) -> str | None:
    try:
        return cast("str | None", json.loads(ring.unseal(sealed)).get("user_data"))
    except (KeyError, ValueError, InvalidTag):  # its key is gone: no reason to hide the server
        return None
