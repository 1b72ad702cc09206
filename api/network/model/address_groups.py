"""Address groups: lists of prefixes that security group rules name."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_network
from typing import Any

from sqlalchemy import ColumnElement, or_
from sqlmodel import Session, col, select

from api.network.ask import Asker
from api.network.errors import bad, conflict, typed
from api.network.model import limits, shares
from api.network.model.kinds import Kind, View, batches, standard, standard_filters, standard_sort, text
from api.network.schemas.security_groups import AddressGroupCreate, AddressGroupUpdate
from infra.tables.network import AddressGroup, SecurityGroupRule


def _visible(project_id: str) -> ColumnElement[bool]:
    return or_(col(AddressGroup.project_id) == project_id, col(AddressGroup.id).in_(shares.usable(project_id)))


def _render(session: Session, rows: Sequence[AddressGroup], view: View) -> list[dict[str, Any]]:
    shared = shares.shown(session, rows, view.project_id)
    return [
        {"id": row.id, "name": row.name, "addresses": row.addresses, "shared": row.id in shared} | standard(row, None)
        for row in rows
    ]


ADDRESS_GROUPS = Kind(
    member="address_group",
    collection="address_groups",
    table=AddressGroup,
    missing=("AddressGroupNotFound", "Address group {} could not be found."),
    visible=_visible,
    render=_render,
    filters=standard_filters(AddressGroup) | {"name": text(AddressGroup.name)},
    sortable=standard_sort(AddressGroup) | {"name": AddressGroup.name},
    unfiltered=frozenset({"addresses", "shared"}),
    shareable=True,
    taggable=False,
)


def addresses_of(session: Session, ids: Sequence[str]) -> dict[str, list[str]]:
    """Prefixes of the groups `ids`."""
    return {
        row.id: row.addresses
        for part in batches(ids)
        for row in session.exec(select(AddressGroup).where(col(AddressGroup.id).in_(part)))
    }


def _prefixes(addresses: Iterable[str]) -> set[str]:
    return {str(ip_network(address)) for address in addresses}


def create(session: Session, ask: Asker, body: AddressGroupCreate, _given: list[str]) -> AddressGroup:
    project_id = ask.owner(body.project_id, body.tenant_id)
    ask.enforce("create_address_group", project_id)
    row = AddressGroup(
        project_id=project_id,
        name=body.name,
        description=body.description,
        addresses=sorted(_prefixes(body.addresses)),
    )
    limits.check("addresses", row.addresses)
    session.add(row)
    return row


def update(_session: Session, ask: Asker, row: AddressGroup, body: AddressGroupUpdate, _given: list[str]) -> None:
    ask.enforce("update_address_group", row.project_id)
    for name, value in body.model_dump(include=body.model_fields_set).items():
        setattr(row, name, value)
    row.touch()


def remove(session: Session, ask: Asker, row: AddressGroup) -> None:
    """409 while a rule names it."""
    ask.enforce("delete_address_group", row.project_id)
    used = select(SecurityGroupRule.id).where(SecurityGroupRule.remote_address_group_id == row.id)
    if session.exec(used).first():
        words = f"Address group {row.id} is in use on one or more security group rules."
        raise conflict("AddressGroupInUse", words)
    shares.forget(session, row.id)
    session.delete(row)


def add(ask: Asker, row: AddressGroup, addresses: list[str]) -> None:
    """400 when the group has one of them already."""
    ask.enforce("update_address_group", row.project_id)
    wanted = _prefixes(addresses)
    if again := sorted(wanted & set(row.addresses)):
        words = f"Addresses {again} already exist in the address group {row.id}."
        raise bad(words, "AddressesAlreadyExist")
    limits.check("addresses", {*row.addresses, *wanted})
    row.addresses = sorted({*row.addresses, *wanted})
    row.touch()


def take(ask: Asker, row: AddressGroup, addresses: list[str]) -> None:
    """404 when the group does not have one of them."""
    ask.enforce("update_address_group", row.project_id)
    wanted = _prefixes(addresses)
    if unknown := sorted(wanted - set(row.addresses)):
        words = f"Addresses {unknown} not found in the address group {row.id}."
        raise typed(404, "AddressesNotFound", words)
    row.addresses = sorted(set(row.addresses) - wanted)
    row.touch()
