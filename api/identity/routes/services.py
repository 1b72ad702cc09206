"""/v3/services: what the catalog offers."""

from typing import Any

from fastapi import APIRouter
from sqlalchemy import delete, select
from sqlmodel import col

from api.identity.access import Access, Here
from api.identity.listing import fetch
from api.identity.schemas.envelopes import ServiceChangeBody, ServiceCreateBody
from api.identity.schemas.resources import ServiceChange
from infra.tables.identity import Endpoint, Service

router = APIRouter(prefix="/v3/services")


def view(here: Access, service: Service) -> dict[str, Any]:
    return {
        "id": service.id,
        "type": service.type,
        "name": service.name,
        "description": service.description,
        "enabled": service.enabled,
        "links": here.link("services", service.id),
    }


def _apply(service: Service, change: ServiceChange) -> None:
    for name, value in change.given().items():
        setattr(service, name, "" if value is None else value)


@router.post("", status_code=201)
def create_service(here: Here, body: ServiceCreateBody) -> dict[str, Any]:
    here.allow("create_service")
    service = Service(type=body.service.type)
    _apply(service, body.service)
    with here.store.change() as session:
        session.add(service)
    return {"service": view(here, service)}


@router.get("")
def list_services(here: Here) -> dict[str, Any]:
    here.allow("list_services")
    with here.store.read() as session:
        rows = here.rows(session, Service, select(Service), {"type": Service.type, "name": Service.name})
    return here.collection("services", [view(here, row) for row in rows])


@router.get("/{service_id}")
def get_service(here: Here, service_id: str) -> dict[str, Any]:
    here.allow("get_service")
    with here.store.read() as session:
        return {"service": view(here, fetch(session, Service, "service", service_id))}


@router.patch("/{service_id}")
def update_service(here: Here, service_id: str, body: ServiceChangeBody) -> dict[str, Any]:
    here.allow("update_service")
    with here.store.change() as session:
        service = fetch(session, Service, "service", service_id)
        _apply(service, body.service)
        session.add(service)
    return {"service": view(here, service)}


@router.delete("/{service_id}", status_code=204)
def delete_service(here: Here, service_id: str) -> None:
    """Its endpoints go with it."""
    here.allow("delete_service")
    with here.store.change() as session:
        service = fetch(session, Service, "service", service_id)
        session.execute(delete(Endpoint).where(col(Endpoint.service_id) == service.id))
        session.delete(service)
