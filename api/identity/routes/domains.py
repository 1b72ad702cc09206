"""/v3/domains: create, list, show, change, delete."""

from typing import Any

from fastapi import APIRouter
from sqlalchemy import select

from api.common.errors import ServiceError
from api.identity.access import Access, Here
from api.identity.endings import end_domain
from api.identity.listing import fetch
from api.identity.schemas.envelopes import DomainChangeBody, DomainCreateBody
from api.identity.schemas.resources import DomainChange
from api.identity.unique import checked_options, ensure_free
from infra.tables.identity import Domain

router = APIRouter(prefix="/v3/domains")
FILTERS = {"name": Domain.name, "enabled": Domain.enabled}


def view(here: Access, domain: Domain) -> dict[str, Any]:
    return {
        **domain.extra,
        "id": domain.id,
        "name": domain.name,
        "description": domain.description,
        "enabled": domain.enabled,
        "tags": [],
        "options": {},
        "links": here.link("domains", domain.id),
    }


def _apply(domain: Domain, change: DomainChange) -> None:
    given = change.given()
    checked_options(given.get("options", {}))
    domain.name = given.get("name", domain.name)
    domain.description = given.get("description", domain.description) or ""
    if domain.enabled and given.get("enabled") is False:
        domain.epoch += 1
    domain.enabled = given.get("enabled", domain.enabled)
    domain.extra = {**domain.extra, **change.extras()}


@router.post("", status_code=201)
def create_domain(here: Here, body: DomainCreateBody) -> dict[str, Any]:
    here.allow("create_domain")
    domain = Domain(name=body.domain.name)
    _apply(domain, body.domain)
    with here.store.change() as session:
        ensure_free(session, "domain", domain)
        session.add(domain)
    return {"domain": view(here, domain)}


@router.get("")
def list_domains(here: Here) -> dict[str, Any]:
    here.allow("list_domains")
    with here.store.read() as session:
        rows = here.rows(session, Domain, select(Domain), FILTERS)
    return here.collection("domains", [view(here, row) for row in rows])


@router.get("/{domain_id}")
def get_domain(here: Here, domain_id: str) -> dict[str, Any]:
    here.allow("get_domain", domain_id=domain_id)
    with here.store.read() as session:
        return {"domain": view(here, fetch(session, Domain, "domain", domain_id))}


@router.patch("/{domain_id}")
def update_domain(here: Here, domain_id: str, body: DomainChangeBody) -> dict[str, Any]:
    here.allow("update_domain")
    with here.store.change() as session:
        domain = fetch(session, Domain, "domain", domain_id)
        _apply(domain, body.domain)
        ensure_free(session, "domain", domain)
        session.add(domain)
    return {"domain": view(here, domain)}


@router.delete("/{domain_id}", status_code=204)
def delete_domain(here: Here, domain_id: str) -> None:
    here.allow("delete_domain")
    with here.store.change() as session:
        domain = fetch(session, Domain, "domain", domain_id)
        if domain.enabled:
            raise ServiceError(403, "Cannot delete a domain that is enabled, please disable it first.")
        end_domain(session, domain)
