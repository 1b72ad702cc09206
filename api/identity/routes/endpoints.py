"""/v3/endpoints: where the catalog's services are."""

from typing import Any

from fastapi import APIRouter
from sqlalchemy import select
from sqlmodel import Session

from api.identity.access import Access, Here
from api.identity.catalog import PLACEHOLDER
from api.identity.errors import Invalid
from api.identity.listing import fetch
from api.identity.schemas.envelopes import EndpointChangeBody, EndpointCreateBody
from api.identity.schemas.resources import EndpointChange
from infra.tables.identity import Endpoint, Region, Service

router = APIRouter(prefix="/v3/endpoints")
FILTERS = {
    "service_id": Endpoint.service_id,
    "interface": Endpoint.interface,
    "region_id": Endpoint.region_id,
    "region": Endpoint.region_id,
}
KNOWN_PLACEHOLDERS = {"project_id", "tenant_id", "user_id"}


def view(here: Access, endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "service_id": endpoint.service_id,
        "interface": endpoint.interface,
        "region": endpoint.region_id,
        "region_id": endpoint.region_id,
        "url": endpoint.url,
        "enabled": endpoint.enabled,
        "links": here.link("endpoints", endpoint.id),
    }


def _apply(session: Session, endpoint: Endpoint, change: EndpointChange) -> None:
    """A region that nobody made yet is made, as in Keystone."""
    given = change.given()
    if "service_id" in given and session.get(Service, given["service_id"]) is None:
        raise Invalid("Expecting to find endpoint service_id in service table.")
    if not set(PLACEHOLDER.findall(given.get("url", ""))) <= KNOWN_PLACEHOLDERS:
        raise Invalid("The endpoint's URL names an unknown substitution.")
    region = given.pop("region", None)
    if "region_id" not in given and region is not None:
        given["region_id"] = region
    if given.get("region_id") and session.get(Region, given["region_id"]) is None:
        session.add(Region(id=given["region_id"]))
        session.flush()
    for name, value in given.items():
        setattr(endpoint, name, value)
    endpoint.region_id = endpoint.region_id or None


@router.post("", status_code=201)
def create_endpoint(here: Here, body: EndpointCreateBody) -> dict[str, Any]:
    here.allow("create_endpoint")
    new = body.endpoint
    endpoint = Endpoint(service_id=new.service_id, interface=new.interface, url=new.url)
    with here.store.change() as session:
        _apply(session, endpoint, new)
        session.add(endpoint)
    return {"endpoint": view(here, endpoint)}


@router.get("")
def list_endpoints(here: Here) -> dict[str, Any]:
    here.allow("list_endpoints")
    with here.store.read() as session:
        rows = here.rows(session, Endpoint, select(Endpoint), FILTERS)
    return here.collection("endpoints", [view(here, row) for row in rows])


@router.get("/{endpoint_id}")
def get_endpoint(here: Here, endpoint_id: str) -> dict[str, Any]:
    here.allow("get_endpoint")
    with here.store.read() as session:
        return {"endpoint": view(here, fetch(session, Endpoint, "endpoint", endpoint_id))}


@router.patch("/{endpoint_id}")
def update_endpoint(here: Here, endpoint_id: str, body: EndpointChangeBody) -> dict[str, Any]:
    here.allow("update_endpoint")
    with here.store.change() as session:
        endpoint = fetch(session, Endpoint, "endpoint", endpoint_id)
        _apply(session, endpoint, body.endpoint)
        session.add(endpoint)
    return {"endpoint": view(here, endpoint)}


@router.delete("/{endpoint_id}", status_code=204)
def delete_endpoint(here: Here, endpoint_id: str) -> None:
    here.allow("delete_endpoint")
    with here.store.change() as session:
        session.delete(fetch(session, Endpoint, "endpoint", endpoint_id))
