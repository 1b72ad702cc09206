"""Address scopes: sets of subnet pools whose prefixes do not overlap."""

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

from sqlalchemy import ColumnElement, or_
from sqlmodel import Session, col, select

from api.network.ask import Asker
from api.network.errors import bad, conflict, typed
from api.network.model import shares
from api.network.model.kinds import Kind, View, find, number, text
from api.network.schemas.pools import AddressScopeCreate, AddressScopeUpdate
from infra.tables.network import AddressScope, SubnetPool


def _visible(project_id: str) -> ColumnElement[bool]:
    return or_(col(AddressScope.project_id) == project_id, col(AddressScope.id).in_(shares.usable(project_id)))


def _render(session: Session, rows: Sequence[AddressScope], view: View) -> list[dict[str, Any]]:
    shared = shares.shown(session, rows, view.project_id)
    return [
        {
            "id": row.id,
            "name": row.name,
            "ip_version": row.ip_version,
            "tenant_id": row.project_id,
            "project_id": row.project_id,
            "shared": row.id in shared,
        }
        for row in rows
    ]


ADDRESS_SCOPES = Kind(
    member="address_scope",
    collection="address_scopes",
    table=AddressScope,
    missing=("AddressScopeNotFound", "Address scope {} could not be found."),
    visible=_visible,
    render=_render,
    filters={
        "id": text(AddressScope.id),
        "name": text(AddressScope.name),
        "project_id": text(AddressScope.project_id),
        "tenant_id": text(AddressScope.project_id),
        "ip_version": number(AddressScope.ip_version),
    },
    sortable={name: getattr(AddressScope, name) for name in ("id", "name", "project_id", "ip_version")},
    unfiltered=frozenset({"shared"}),
    shareable=True,
    taggable=False,
)


def create(session: Session, ask: Asker, body: AddressScopeCreate, given: list[str]) -> AddressScope:
    project_id = ask.owner(body.project_id, body.tenant_id)
    ask.enforce("create_address_scope", project_id)
    ask.enforce_attributes("create_address_scope", given, project_id)
    row = AddressScope(project_id=project_id, name=body.name, ip_version=body.ip_version)
    session.add(row)
    session.flush()
    if body.shared:
        shares.share(session, row, "address_scope", on=True)
    return row


def update(session: Session, ask: Asker, row: AddressScope, body: AddressScopeUpdate, given: list[str]) -> None:
    ask.enforce("update_address_scope", row.project_id)
    ask.enforce_attributes("update_address_scope", given, row.project_id)
    if "shared" in given:
        if not body.shared and row.id in shares.shown(session, [row], shares.ALL):
            words = f"Unable to update address scope {row.id} : Shared address scope can't be unshared."
            raise bad(words, "AddressScopeUpdateError")
        shares.share(session, row, "address_scope", body.shared)
    if "name" in given:
        row.name = body.name
    row.touch()


def remove(session: Session, ask: Asker, row: AddressScope) -> None:
    """409 while a subnet pool lies in it."""
    ask.enforce("delete_address_scope", row.project_id)
    if session.exec(select(SubnetPool.id).where(SubnetPool.address_scope_id == row.id)).first():
        raise conflict(
            "AddressScopeInUse",
            f"Unable to complete operation on address scope {row.id}. There are one or more subnet pools in use on the "
            "address scope.",
        )
    shares.forget(session, row.id)
    session.delete(row)


def check_pool(session: Session, ask: Asker, pool: SubnetPool) -> None:
    """Whether the pool may lie in its scope: of its IP version, and apart from the scope's other pools."""
    scope = find(session, ask, ADDRESS_SCOPES, str(pool.address_scope_id))
    if scope.ip_version != pool.ip_version:
        raise bad(
            f"Illegal subnetpool association: subnetpool {pool.id} cannot associate with address scope {scope.id} "
            f"because subnetpool ip_version is not {scope.ip_version}.",
            "IllegalSubnetPoolIpVersionAssociationToAddressScope",
        )
    mine = [ip_network(prefix) for prefix in pool.prefixes]
    others = select(SubnetPool).where(SubnetPool.address_scope_id == scope.id, SubnetPool.id != pool.id)
    for other in session.exec(others):
        if any(ip_network(prefix).overlaps(one) for prefix in other.prefixes for one in mine):
            words = "Failed to associate address scope: subnetpools within an address scope must have unique prefixes."
            raise typed(409, "AddressScopePrefixConflict", words)
