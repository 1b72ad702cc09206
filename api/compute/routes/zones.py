"""Availability zones, and the hosts API that Nova dropped at 2.43 but old clients still call."""

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from api.compute.call import Call, versions
from api.compute.errors import not_found
from api.compute.records import hosts
from api.compute.validation import check_query
from api.compute.views.hosts import capacity, zone_of
from api.compute.views.states import micro
from infra.tables.compute import Service

router = APIRouter()
OLD = [versions(1, 42)]


def _zones(services: list[Service]) -> list[tuple[str, bool]]:
    """Zones and whether any of their services is enabled; those that are come first."""
    enabled = {zone_of(service) for service in services if not service.disabled}
    every = {zone_of(service) for service in services}
    return [(zone, True) for zone in sorted(enabled)] + [(zone, False) for zone in sorted(every - enabled)]


@router.get("/os-availability-zone")
def list_zones(call: Call) -> Response:
    """Availability zones of the compute hosts."""
    check_query(call, since=102)
    call.enforce("os_compute_api:os-availability-zone:list")
    with call.db.read() as session:
        services = hosts.all_services(session)
    shown = [
        {"zoneName": zone, "zoneState": {"available": available}, "hosts": None}
        for zone, available in _zones(services)
        if zone != "internal"
    ]
    return JSONResponse({"availabilityZoneInfo": shown})


@router.get("/os-availability-zone/detail")
def list_zones_detail(call: Call) -> Response:
    """Availability zones with their hosts and services."""
    check_query(call, since=102)
    call.enforce("os_compute_api:os-availability-zone:detail")
    with call.db.read() as session:
        services = hosts.all_services(session)
    shown: list[dict[str, Any]] = []
    for zone, available in _zones(services):
        members: dict[str, dict[str, Any]] = {}
        for service in services:
            if zone_of(service) == zone and not service.disabled:
                members.setdefault(service.host, {})[service.binary] = {
                    "available": hosts.is_up(call, service),
                    "active": True,
                    "updated_at": micro(service.last_seen),
                }
        shown.append({"zoneName": zone, "zoneState": {"available": available}, "hosts": members if available else None})
    return JSONResponse({"availabilityZoneInfo": shown})


@router.get("/os-hosts", dependencies=OLD)
def list_hosts(call: Call) -> Response:
    """Hosts with what they do (until 2.42)."""
    call.enforce("os_compute_api:os-hosts:list")
    wanted = call.query.get("zone")
    with call.db.read() as session:
        services = [service for service in hosts.all_services(session) if not service.disabled]
    shown = [
        {"host_name": service.host, "service": service.binary.removeprefix("nova-"), "zone": zone_of(service)}
        for service in services
        if not wanted or zone_of(service) == wanted
    ]
    return JSONResponse({"hosts": shown})


@router.get("/os-hosts/{host}", dependencies=OLD)
def show_host(call: Call, host: str) -> Response:
    """What a host has, and what its projects use of it (until 2.42)."""
    call.enforce("os_compute_api:os-hosts:show")
    with call.db.read() as session:
        node = next((node for node in hosts.all_nodes(session) if node.host == host), None)
        if node is None:
            raise not_found(f"Compute host {host[:255]} could not be found.")
        total = capacity(call, node, hosts.usage(session).get(host))
        servers = hosts.servers_on(session, [host]).get(host, [])

    def resource(project: str, cpu: int, memory_mb: int, disk_gb: int) -> dict[str, Any]:
        about = {"host": host, "project": project, "cpu": cpu, "memory_mb": memory_mb, "disk_gb": disk_gb}
        return {"resource": about}

    def sums(project: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
        return resource(project, *(sum(row[name] for row in rows) for name in ("vcpus", "memory_mb", "disk_gb")))

    projects = sorted({server["project_id"] for server in servers})
    shown = [
        resource("(total)", node.vcpus, node.memory_mb, node.disk_gb),
        resource("(used_now)", total["vcpus_used"], total["memory_mb_used"], total["local_gb_used"]),
        sums("(used_max)", servers),
        *(sums(project, [s for s in servers if s["project_id"] == project]) for project in projects),
    ]
    return JSONResponse({"host": shown})
