"""Compute services (Compute API reference, "Compute services")."""

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from sqlalchemy import delete, func, select
from sqlmodel import Session

from api.common import parsers
from api.common.parsers import is_uuid
from api.compute.call import Body, Call, ComputeCall
from api.compute.errors import bad_request, conflict, not_found
from api.compute.records import aggregates, hosts
from api.compute.schemas.services import ServiceAction, ServiceUpdate
from api.compute.validation import check_query, check_values
from api.compute.views.hosts import service_view
from infra.stores.listening import LISTENER
from infra.tables.compute import Allocation, ComputeNode, Instance, Service, now

router = APIRouter()
RULE = "os_compute_api:os-services:"


@router.get("/os-services")
def list_services(call: Call) -> Response:
    """Services with their state, filtered by host and binary."""
    check_query(call, "host", "binary")
    call.enforce(RULE + "list")
    with call.db.read() as session:
        found = hosts.all_services(session, call.query.get("host", ""), call.query.get("binary", ""))
    return JSONResponse({"services": [service_view(call, service) for service in found]})


@router.put("/os-services/{service_id}")
def update_service(call: Call, service_id: str, body: Body) -> Response:
    """Enable, disable or force down a compute service; before 2.53 the path names what to do."""
    call.enforce(RULE + "update")
    if not call.since(53):
        return _act(call, service_id, body)
    wish = check_values(ServiceUpdate, body, "")
    if wish.status is None and wish.forced_down is None:
        raise bad_request("No updates were requested. Fields 'status' or 'forced_down' should be specified.")
    if wish.disabled_reason and wish.status != "disabled":
        raise bad_request("Specifying 'disabled_reason' when status is 'enabled' is invalid.")
    with call.db.write() as session:
        service = _find(session, call, service_id)
        _require_compute(service.binary)
        _apply(service, wish.status, wish.disabled_reason, wish.forced_down)
        session.add(service)
    return JSONResponse({"service": service_view(call, service)})


def _act(call: ComputeCall, action: str, body: dict[str, Any]) -> Response:
    wish = check_values(ServiceAction, body, "")
    if action not in ("enable", "disable", "disable-log-reason") and not (action == "force-down" and call.since(11)):
        raise not_found("Unknown action")
    if action == "disable-log-reason" and wish.disabled_reason is None:
        raise bad_request("Missing disabled reason field")
    if action == "force-down" and wish.forced_down is None:
        raise bad_request("Missing forced_down field")
    shown: dict[str, Any] = {"host": wish.host, "binary": wish.binary}
    reason = wish.disabled_reason if action == "disable-log-reason" else None
    forced = wish.forced_down if action == "force-down" else None
    if action == "force-down":
        shown["forced_down"] = wish.forced_down
    else:
        shown["status"] = "enabled" if action == "enable" else "disabled"
    if reason:
        shown["disabled_reason"] = reason
    _require_compute(wish.binary)
    with call.db.write() as session:
        service = hosts.compute_service(session, wish.host)
        if service is None:
            raise not_found(f"Could not find binary {wish.binary} on host {wish.host}.")
        _apply(service, shown.get("status"), reason, forced)
        session.add(service)
    return JSONResponse({"service": shown})


@router.delete("/os-services/{service_id}", status_code=204)
def delete_service(call: Call, service_id: str) -> Response:
    """Forget a service; 409 while its host has servers."""
    call.enforce(RULE + "delete")
    with call.db.write() as session:
        service = _find(session, call, service_id)
        if service.binary == hosts.COMPUTE:
            _require_empty(session, service.host)
            node = ComputeNode.__table__  # type: ignore[attr-defined]
            session.execute(delete(node).where(node.c.host == service.host))
            aggregates.forget_host(session, service.host)
        session.delete(service)
    return Response(status_code=204)


def _require_empty(session: Session, host: str) -> None:
    held, servers = Allocation.__table__.c, Instance.__table__.c  # type: ignore[attr-defined]
    count = select(func.count()).select_from(Allocation).where(held.host == host)
    living = select(func.count()).select_from(Instance).where(servers.host == host, servers.deleted_at.is_(None))
    if session.scalar(count) or session.scalar(living):
        raise conflict(
            "Unable to delete compute service that is hosting instances. Migrate or delete the instances first."
        )


def _find(session: Session, call: ComputeCall, service_id: str) -> Service:
    columns = hosts.services.c
    if call.since(53):
        if not is_uuid(service_id):
            raise bad_request(f"Invalid uuid {service_id[:64]}")
        query = select(Service).where(columns.binary != LISTENER, columns.id == service_id)
    else:
        try:
            query = select(Service).where(
                columns.binary != LISTENER, columns.number == parsers.whole(service_id, least=-parsers.INT32)
            )
        except parsers.Malformed:
            raise bad_request("Invalid input received: id must be an integer") from None
    found = session.scalars(query.limit(2)).all()
    if not found:
        raise not_found(f"Service {service_id} could not be found.")
    if len(found) > 1:
        raise bad_request(f"Service id {service_id} refers to multiple services.")
    return found[0]


def _require_compute(binary: str) -> None:
    if binary != hosts.COMPUTE:
        raise bad_request(
            f"Updating a {binary[:64]} service is not supported. Only nova-compute services can be updated."
        )


def _apply(service: Service, status: str | None, reason: str | None, forced_down: bool | None) -> None:
    if status is not None:
        service.disabled, service.disabled_reason = status == "disabled", reason
    if forced_down is not None:
        service.forced_down = forced_down
    service.updated_at = now()
