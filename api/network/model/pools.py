"""Prefixes out of subnet pools: which pool a new subnet comes from, which prefix it gets, how much a project has."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_network
from typing import Any

from sqlmodel import Session, col, select

from api.network.ask import Asker
from api.network.errors import bad, bad_request, conflict, typed
from api.network.model import ranges
from api.network.model.kinds import batches, find
from api.network.model.ranges import Cidr
from api.network.model.subnet_pools import SUBNET_POOLS
from api.network.schemas.subnets import SubnetCreate
from infra.tables.network import Subnet, SubnetPool

UNIT = {4: 32, 6: 64}
"""Length of the prefix that a pool's quota counts: IPv4 addresses, IPv6 networks."""
NO_SCOPES: dict[str, Any] = {"ipv4_address_scope": None, "ipv6_address_scope": None}


def wanted(session: Session, ask: Asker, body: SubnetCreate) -> SubnetPool | None:
    """The pool that the body names, or the default one of the IP version; None when the body has a prefix alone."""
    if body.use_default_subnetpool:
        if body.subnetpool_id:
            raise bad_request("subnets", "subnetpool_id and use_default_subnetpool cannot both be specified")
        query = select(SubnetPool).where(SubnetPool.is_default, SubnetPool.ip_version == body.ip_version)
        pool = session.exec(query).first()
        if pool is None:
            raise bad_request("subnets", f"No default subnetpool found for IPv{body.ip_version}")
        return pool
    if body.subnetpool_id is None:
        if body.prefixlen is not None:
            raise bad_request("subnets", "prefixlen cannot be specified without a subnetpool")
        return None
    pool = find(session, ask, SUBNET_POOLS, body.subnetpool_id)
    if pool.ip_version != body.ip_version:
        raise bad_request(
            "subnets", f"Cannot allocate IPv{body.ip_version} subnet from IPv{pool.ip_version} subnet pool"
        )
    return pool


def allocate(session: Session, pool: SubnetPool, body: SubnetCreate, project_id: str) -> str:
    """The prefix asked for, or the first free one of the length asked for; 400 or 409 when it cannot be had."""
    _check_affinity(session, pool, body)
    if body.cidr and body.prefixlen is not None:
        raise bad_request("subnets", "cidr and prefixlen must not be supplied together")
    taken = [ip_network(cidr) for cidr in session.exec(select(Subnet.cidr).where(Subnet.subnetpool_id == pool.id))]
    length = ip_network(body.cidr).prefixlen if body.cidr else body.prefixlen
    length = pool.default_prefixlen if length is None else length
    _check_length(pool, length)
    _check_quota(session, pool, project_id, length)
    prefixes = [ip_network(prefix) for prefix in pool.prefixes]
    if body.cidr:
        asked = ip_network(body.cidr)
        inside = any(asked.version == one.version and asked.subnet_of(one) for one in prefixes)  # type: ignore[arg-type]
        if not inside or any(asked.overlaps(one) for one in taken):
            raise _no_prefix("Cannot allocate requested subnet from the available set of prefixes")
        return body.cidr
    for prefix in prefixes:
        if found := first_free(prefix, taken, length):
            return str(found)
    raise _no_prefix(f"Insufficient prefix space to allocate subnet size /{length}")


def first_free(prefix: Cidr, taken: Iterable[Cidr], length: int) -> Cidr | None:
    """The lowest prefix of this length within `prefix` that overlaps none of `taken`."""
    if length < prefix.prefixlen:
        return None
    size = 1 << (prefix.max_prefixlen - length)
    begin, end = int(prefix.network_address), int(prefix.broadcast_address)
    used = sorted((int(one.network_address), int(one.broadcast_address)) for one in taken if one.overlaps(prefix))
    for first, last in [*used, (end + 1, end + 1)]:
        if begin + size <= first:
            return ip_network((ranges.address(prefix, begin), length))
        begin = max(begin, (last // size + 1) * size)
    return None


def _no_prefix(reason: str) -> Exception:
    return typed(409, "SubnetAllocationError", f"Failed to allocate subnet: {reason}.")


def _check_length(pool: SubnetPool, length: int) -> None:
    for kind, bound, wrong in (
        ("minimum", pool.min_prefixlen, length < pool.min_prefixlen),
        ("maximum", pool.max_prefixlen, length > pool.max_prefixlen),
    ):
        if wrong:
            raise bad(
                f"Unable to allocate subnet with prefix length {length}, {kind} allowed prefix is {bound}.",
                f"{kind[:3].capitalize()}PrefixSubnetAllocationError",
            )


def _check_quota(session: Session, pool: SubnetPool, project_id: str, length: int) -> None:
    if pool.default_quota is None:
        return
    unit = UNIT[pool.ip_version]
    own = session.exec(select(Subnet.cidr).where(Subnet.subnetpool_id == pool.id, Subnet.project_id == project_id))
    used = sum(2 ** max(unit - ip_network(cidr).prefixlen, 0) for cidr in own)
    if used + 2 ** max(unit - length, 0) > pool.default_quota:
        raise conflict("SubnetPoolQuotaExceeded", "Per-project subnet pool prefix quota exceeded.")


def _check_affinity(session: Session, pool: SubnetPool, body: SubnetCreate) -> None:
    """Subnets of one network and IP version come from one pool or from none."""
    others = select(Subnet.subnetpool_id).where(Subnet.network_id == body.network_id)
    for other in session.exec(others.where(Subnet.ip_version == body.ip_version)):
        if other != pool.id:
            words = "Subnets hosted on the same network must be allocated from the same subnet pool."
            raise bad(words, "NetworkSubnetPoolAffinityError")


def scopes_of(session: Session, network_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Address scopes of networks whose subnets come from a pool with one, by IP version."""
    found: dict[str, dict[str, Any]] = {}
    for part in batches(network_ids):
        query = select(Subnet.network_id, SubnetPool.ip_version, SubnetPool.address_scope_id)
        query = query.join(SubnetPool, col(SubnetPool.id) == col(Subnet.subnetpool_id))
        for network_id, version, scope in session.exec(query.where(col(Subnet.network_id).in_(part))):
            found.setdefault(network_id, dict(NO_SCOPES))[f"ipv{version}_address_scope"] = scope
    return found
