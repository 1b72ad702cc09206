"""Routes that add to, and take from, the lists of address groups and subnet pools."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from sqlmodel import Session

from api.network.ask import Ask, Asker, JsonBody
from api.network.model import address_groups, subnet_pools
from api.network.model.address_groups import ADDRESS_GROUPS
from api.network.model.kinds import find, show
from api.network.model.subnet_pools import SUBNET_POOLS
from api.network.routes.answers import check_revision, json
from api.network.schemas.bodies import parse_action
from api.network.schemas.pools import PrefixList
from api.network.schemas.security_groups import AddressList
from infra.tables.network import AddressGroup, SubnetPool

router = APIRouter(prefix="/v2.0")


@router.put("/address-groups/{group_id}/add_addresses")
def add_addresses(ask: Ask, group_id: str, body: JsonBody) -> Any:
    """Add prefixes to an address group; rules that name it follow within seconds."""
    return _addresses(ask, group_id, body, address_groups.add)


@router.put("/address-groups/{group_id}/remove_addresses")
def remove_addresses(ask: Ask, group_id: str, body: JsonBody) -> Any:
    """Take prefixes out of an address group."""
    return _addresses(ask, group_id, body, address_groups.take)


def _addresses(
    ask: Asker, group_id: str, body: dict[str, Any], change: Callable[[Asker, AddressGroup, list[str]], None]
) -> Any:
    wanted = parse_action(AddressList, body)
    with ask.store.write() as session:
        row = find(session, ask, ADDRESS_GROUPS, group_id)
        check_revision(ask, row)
        change(ask, row, wanted.addresses)
        session.flush()
        return json(show(session, ask, ADDRESS_GROUPS, row))


@router.put("/subnetpools/{pool_id}/add_prefixes")
def add_prefixes(ask: Ask, pool_id: str, body: JsonBody) -> Any:
    """Add prefixes to a subnet pool."""
    return _prefixes(ask, pool_id, body, subnet_pools.add_prefixes)


@router.put("/subnetpools/{pool_id}/remove_prefixes")
def remove_prefixes(ask: Ask, pool_id: str, body: JsonBody) -> Any:
    """Take prefixes, of which no subnet was made, out of a subnet pool."""
    return _prefixes(ask, pool_id, body, subnet_pools.remove_prefixes)


def _prefixes(
    ask: Asker,
    pool_id: str,
    body: dict[str, Any],
    change: Callable[[Session, Asker, SubnetPool, list[str]], list[str]],
) -> Any:
    wanted = parse_action(PrefixList, body)
    with ask.store.write() as session:
        row = find(session, ask, SUBNET_POOLS, pool_id)
        check_revision(ask, row)
        return json({"prefixes": change(session, ask, row, wanted.prefixes)})
