"""Subnet pools: what they look like, making, changing and deleting them."""

from collections.abc import Sequence
from ipaddress import collapse_addresses, ip_network
from typing import Any

from sqlalchemy import ColumnElement, or_
from sqlmodel import Session, col, select

from api.network.ask import Asker
from api.network.errors import bad, bad_request, typed
from api.network.model import address_scopes, limits, quotas, shares, tags
from api.network.model.kinds import (
    Kind,
    View,
    boolean,
    number,
    standard,
    standard_filters,
    standard_sort,
    tags_of,
    text,
)
from api.network.model.ranges import Cidr
from api.network.schemas.pools import SubnetPoolCreate, SubnetPoolUpdate
from infra.tables.network import Subnet, SubnetPool

SHORTEST, LONGEST = {4: 8, 6: 64}, {4: 32, 6: 128}
"""Bounds of prefix lengths where the body gives none."""
NAMES = (
    "id",
    "name",
    "ip_version",
    "prefixes",
    "default_quota",
    "is_default",
    "address_scope_id",
)
LENGTHS = ("default_prefixlen", "min_prefixlen", "max_prefixlen")


def _visible(project_id: str) -> ColumnElement[bool]:
    return or_(col(SubnetPool.project_id) == project_id, col(SubnetPool.id).in_(shares.usable(project_id)))


def _render(session: Session, rows: Sequence[SubnetPool], view: View) -> list[dict[str, Any]]:
    words, shared = tags_of(session, rows), shares.shown(session, rows, view.project_id)
    return [
        {name: getattr(row, name) for name in NAMES}
        | {name: str(getattr(row, name)) for name in LENGTHS}  # as Neutron has them
        | {"shared": row.id in shared}
        | standard(row, words[row.id])
        for row in rows
    ]


SUBNET_POOLS = Kind(
    member="subnetpool",
    collection="subnetpools",
    table=SubnetPool,
    missing=("SubnetPoolNotFound", "Subnet pool {} could not be found."),
    visible=_visible,
    render=_render,
    filters=standard_filters(SubnetPool)
    | {name: text(getattr(SubnetPool, name)) for name in ("name", "address_scope_id")}
    | {name: number(getattr(SubnetPool, name)) for name in ("ip_version", *LENGTHS, "default_quota")}
    | {"is_default": boolean(SubnetPool.is_default)},
    sortable=standard_sort(SubnetPool) | {"name": SubnetPool.name, "ip_version": SubnetPool.ip_version},
    unfiltered=frozenset({"prefixes", "shared"}),
    shareable=True,
)


def create(session: Session, ask: Asker, body: SubnetPoolCreate, given: list[str]) -> SubnetPool:
    project_id = ask.owner(body.project_id, body.tenant_id)
    ask.enforce("create_subnetpool", project_id)
    ask.enforce_attributes("create_subnetpool", given, project_id)
    prefixes = _compact(body.prefixes)
    version = prefixes[0].version
    quotas.check(session, project_id, "subnetpool")
    shortest = SHORTEST[version] if body.min_prefixlen is None else body.min_prefixlen
    row = SubnetPool(
        project_id=project_id,
        ip_version=version,
        prefixes=[str(prefix) for prefix in prefixes],
        min_prefixlen=shortest,
        max_prefixlen=LONGEST[version] if body.max_prefixlen is None else body.max_prefixlen,
        default_prefixlen=shortest if body.default_prefixlen is None else body.default_prefixlen,
        **body.model_dump(include={"name", "description", "default_quota", "is_default", "address_scope_id"}),
    )
    _check(session, ask, row)
    session.add(row)
    session.flush()
    if body.shared:
        shares.share(session, row, "subnetpool", on=True)
    tags.add(session, row, body.tags)
    return row


def update(session: Session, ask: Asker, row: SubnetPool, body: SubnetPoolUpdate, given: list[str]) -> None:
    ask.enforce("update_subnetpool", row.project_id)
    ask.enforce_attributes("update_subnetpool", given, row.project_id)
    changes = body.model_dump(include=body.model_fields_set)
    if "prefixes" in changes:
        changes["prefixes"] = _wider(row, body.prefixes)
    for name, value in changes.items():
        setattr(row, name, value)
    _check(session, ask, row)
    row.touch()


def _wider(row: SubnetPool, wanted: list[str]) -> list[str]:
    """New prefixes, which must have all of the old ones."""
    prefixes = _compact(wanted)
    for old in map(ip_network, row.prefixes):
        if not any(old.version == new.version and old.subnet_of(new) for new in prefixes):  # type: ignore[arg-type]
            words = "Illegal update to prefixes: Existing prefixes must be a subset of the new prefixes."
            raise bad(words, "IllegalSubnetPoolPrefixUpdate")
    return [str(prefix) for prefix in prefixes]


def _compact(texts: list[str]) -> list[Cidr]:
    """The prefixes without overlaps, in their order; 400 for none, or for both IP versions."""
    prefixes = [ip_network(text) for text in texts]
    if not prefixes:
        raise bad("Empty subnet pool prefix list.", "EmptySubnetPoolPrefixList")
    if len({prefix.version for prefix in prefixes}) > 1:
        raise bad("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", "PrefixVersionMismatch")
    found = list(collapse_addresses(prefixes))  # type: ignore[type-var]
    limits.check("prefixes", found)
    return found


def _check(session: Session, ask: Asker, row: SubnetPool) -> None:
    longest = LONGEST[row.ip_version]
    for kind, length, base, bound, wrong in (
        ("min", row.min_prefixlen, "max_prefixlen", row.max_prefixlen, row.min_prefixlen > row.max_prefixlen),
        ("max", row.max_prefixlen, "ip_version_max", longest, row.max_prefixlen > longest),
        (
            "default",
            row.default_prefixlen,
            "min_prefixlen",
            row.min_prefixlen,
            row.default_prefixlen < row.min_prefixlen,
        ),
        (
            "default",
            row.default_prefixlen,
            "max_prefixlen",
            row.max_prefixlen,
            row.default_prefixlen > row.max_prefixlen,
        ),
    ):
        if wrong:
            words = f"Illegal prefix bounds: {kind}_prefixlen={length}, {base}={bound}."
            raise bad(words, "IllegalSubnetPoolPrefixBounds")
    if row.is_default:
        same = select(SubnetPool.id).where(SubnetPool.is_default, SubnetPool.ip_version == row.ip_version)
        if session.exec(same.where(SubnetPool.id != row.id)).first():
            words = (
                "A default subnetpool for this IP family has already been set. Only one default may exist per IP family"
            )
            raise bad(f"Invalid input for operation: {words}.", "InvalidInput")
    if row.address_scope_id:
        address_scopes.check_pool(session, ask, row)


def remove(session: Session, ask: Asker, row: SubnetPool) -> None:
    """400 while subnets come from it."""
    ask.enforce("delete_subnetpool", row.project_id)
    if session.exec(select(Subnet.id).where(Subnet.subnetpool_id == row.id)).first():
        words = "Unable to delete subnet pool: Subnet pool has existing allocations."
        raise typed(400, "SubnetPoolDeleteError", words)
    shares.forget(session, row.id)
    tags.forget(session, row.id)
    session.delete(row)


def add_prefixes(session: Session, ask: Asker, row: SubnetPool, prefixes: list[str]) -> list[str]:
    """The pool's prefixes with these beside them; 409-free, since overlaps are merged."""
    ask.enforce("add_prefixes", row.project_id)
    row.prefixes = [str(prefix) for prefix in _compact([*row.prefixes, *prefixes])]
    _check(session, ask, row)
    row.touch()
    return row.prefixes


def remove_prefixes(session: Session, ask: Asker, row: SubnetPool, prefixes: list[str]) -> list[str]:
    """The pool's prefixes without these, which must be whole ones of which no subnet was made."""
    ask.enforce("remove_prefixes", row.project_id)
    going = {str(prefix) for prefix in _compact(prefixes)}
    if going - set(row.prefixes):
        raise bad_request("subnetpool", "One or more prefixes are not in the subnet pool")
    taken = session.exec(select(Subnet.cidr).where(Subnet.subnetpool_id == row.id)).all()
    if any(ip_network(cidr).overlaps(ip_network(prefix)) for cidr in taken for prefix in going):
        words = "Illegal update to prefixes: One or more of the prefixes to be removed is in use by a subnet."
        raise bad(words, "IllegalSubnetPoolPrefixUpdate")
    row.prefixes = [prefix for prefix in row.prefixes if prefix not in going]
    row.touch()
    return row.prefixes
