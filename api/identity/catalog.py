"""The service catalog that tokens carry: enabled services with their enabled endpoints."""

import re
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from infra.tables.identity import Endpoint, Service

PLACEHOLDER = re.compile(r"[$%]\((\w+)\)s")


def load(session: Session) -> list[dict[str, Any]]:
    """Entries as in a token's `catalog`, by service type; URLs may hold `$(project_id)s` and the like."""
    rows = session.execute(
        select(Service, Endpoint)
        .join(Endpoint, col(Endpoint.service_id) == col(Service.id))
        .where(col(Service.enabled).is_(True), col(Endpoint.enabled).is_(True))
        .order_by(col(Service.type), col(Service.id), col(Endpoint.interface), col(Endpoint.id))
    )
    entries: dict[str, dict[str, Any]] = {}
    for service, endpoint in rows:
        entry = entries.setdefault(
            service.id, {"id": service.id, "type": service.type, "name": service.name, "endpoints": []}
        )
        entry["endpoints"].append(
            {
                "id": endpoint.id,
                "interface": endpoint.interface,
                "region": endpoint.region_id,
                "region_id": endpoint.region_id,
                "url": endpoint.url,
            }
        )
    return list(entries.values())


def is_templated(entries: list[dict[str, Any]]) -> bool:
    return any(PLACEHOLDER.search(endpoint["url"]) for entry in entries for endpoint in entry["endpoints"])


def filled(entries: list[dict[str, Any]], user_id: str, project_id: str) -> list[dict[str, Any]]:
    """`entries` with the URLs' placeholders filled; an endpoint whose placeholder has no value is left out."""
    values = {"user_id": user_id}
    if project_id:
        values |= {"project_id": project_id, "tenant_id": project_id}
    result = []
    for entry in entries:
        endpoints = [
            endpoint | {"url": PLACEHOLDER.sub(lambda match: values[match[1]], endpoint["url"])}
            for endpoint in entry["endpoints"]
            if values.keys() >= set(PLACEHOLDER.findall(endpoint["url"]))
        ]
        result.append(entry | {"endpoints": endpoints})
    return result
