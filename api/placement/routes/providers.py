"""Resource providers with their inventories, usages, aggregates, traits and allocations."""

from typing import Any

from fastapi import APIRouter, Response

from api.common.parsers import is_uuid
from api.placement import filters
from api.placement.call import Call, PlacementCall, answer, since
from api.placement.errors import bad_request, not_found
from api.placement.providers import Provider, load

router = APIRouter(prefix="/resource_providers")
RELATED = (("inventories", 0), ("usages", 0), ("aggregates", 1), ("traits", 6), ("allocations", 11))
"""What belongs to a provider, and the microversion from which on it is linked."""


def find(call: PlacementCall, provider_id: str, words: str = "") -> Provider:
    """404 with `words` in front of Placement's own."""
    with call.db.read() as session:
        for provider in load(session, call.settings, provider_id.lower()):
            return provider
    raise not_found(f"{words}No resource provider with uuid {provider_id[:64]} found")


def found(provider_id: str, space: str = "") -> str:
    return f"No resource provider with uuid {provider_id[:64]} found{space}: "


def view(call: PlacementCall, provider: Provider) -> dict[str, Any]:
    path = f"/resource_providers/{provider.id}"
    links = [{"rel": "self", "href": path}]
    links += [{"rel": name, "href": f"{path}/{name}"} for name, first in RELATED if call.since(first)]
    shown = {"uuid": provider.id, "name": provider.name, "generation": provider.generation, "links": links}
    roots = {"parent_provider_uuid": None, "root_provider_uuid": provider.id} if call.since(14) else {}
    return shown | roots


@router.get("")
def list_resource_providers(call: Call) -> Response:
    """Compute hosts, filtered by name, id, aggregate, free resources, tree and traits."""
    call.enforce("resource_providers:list")
    later = (("member_of", 3), ("resources", 4), ("in_tree", 14), ("required", 18))
    call.check_query(["name", "uuid", *(name for name, first in later if call.since(first))])
    wanted, name, id = filters.wanted(call), call.one("name"), call.one("uuid")
    if id is not None and not is_uuid(id):
        raise bad_request(f"Invalid query string parameters: '{id[:64]}' is not a 'uuid'")
    with call.db.read() as session:
        every = load(session, call.settings)
    fitting = [
        each
        for each in every
        if wanted.fits(each)
        and name in (None, each.name)
        and (id is None or filters.plain(id) == filters.plain(each.id))
    ]
    return answer(call, {"resource_providers": [view(call, each) for each in fitting]})


@router.get("/{uuid}")
def show_resource_provider(call: Call, uuid: str) -> Response:
    """One compute host by its hypervisor's id."""
    call.enforce("resource_providers:show")
    return answer(call, view(call, find(call, uuid)))


@router.get("/{uuid}/inventories")
def list_inventories(call: Call, uuid: str) -> Response:
    """What the host has, by resource class."""
    call.enforce("resource_providers:inventories:list")
    provider = find(call, uuid, found(uuid, " "))
    shown = {name: inventory.shown for name, inventory in provider.inventories.items()}
    return answer(call, {"resource_provider_generation": provider.generation, "inventories": shown})


@router.get("/{uuid}/inventories/{resource_class}")
def show_inventory(call: Call, uuid: str, resource_class: str) -> Response:
    """What the host has of one resource class."""
    call.enforce("resource_providers:inventories:show")
    provider = find(call, uuid, found(uuid, " "))
    there = provider.inventories.get(resource_class)
    if there is None:
        raise not_found(f"No inventory of class {resource_class[:255]} for {uuid[:64]}")
    return answer(call, there.shown | {"resource_provider_generation": provider.generation})


@router.get("/{uuid}/usages")
def list_usages(call: Call, uuid: str) -> Response:
    """What is claimed on the host, by resource class."""
    call.enforce("resource_providers:usages")
    provider = find(call, uuid, found(uuid))
    return answer(call, {"resource_provider_generation": provider.generation, "usages": provider.used})


@router.get("/{uuid}/aggregates", dependencies=[since(1)])
def list_aggregates(call: Call, uuid: str) -> Response:
    """Ids of the host aggregates that the host is in."""
    call.enforce("resource_providers:aggregates:list")
    provider = find(call, uuid)
    shown: dict[str, Any] = {"aggregates": provider.aggregates}
    return answer(call, shown | ({"resource_provider_generation": provider.generation} if call.since(19) else {}))


@router.get("/{uuid}/traits", dependencies=[since(6)])
def list_provider_traits(call: Call, uuid: str) -> Response:
    """Traits of the host: that it is a compute node, and whether it is disabled."""
    call.enforce("resource_providers:traits:list")
    provider = find(call, uuid, found(uuid))
    return answer(call, {"traits": provider.traits, "resource_provider_generation": provider.generation})


@router.get("/{uuid}/allocations")
def list_provider_allocations(call: Call, uuid: str) -> Response:
    """Claims on the host by consumer: servers, and migrations that keep what a resize may go back to."""
    call.enforce("resource_providers:allocations:list")
    provider = find(call, uuid, f"Resource provider '{uuid[:64]}' not found: ")
    held: dict[str, dict[str, Any]] = {}
    for claim in provider.claims:
        number = {"consumer_generation": claim.generation} if call.since(28) else {}
        held[claim.consumer] = {"resources": claim.resources} | number
    return answer(call, {"allocations": held, "resource_provider_generation": provider.generation})
