"""Routes for operators: the one volume service, its host, its pool, and what the pool can do. Source: Block Storage API
v3, "Services", "Hosts extension", "Back-end storage pools", "Capabilities for storage back ends"."""

import os
from typing import Any

from fastapi import APIRouter, Request
from sqlmodel import Session, func, select

from api.common.context import Context
from api.common.errors import ServiceError
from api.volume.listing import boolean
from api.volume.service import Service, Version, VolumeCaller, VolumeService
from api.volume.types import FIRST_NAME
from api.volume.views import moment
from infra.tables.volume import Snapshot, Volume, now

router = APIRouter()
HOSTS = "volume_extension:hosts"


def host_name(service: VolumeService) -> str:
    return f"{service.settings.host}@{FIRST_NAME}"


@router.get("/os-services")
def services(request: Request, caller: VolumeCaller, service: Service, version: Version) -> dict[str, Any]:
    """One service; `up` while its storage daemon and its gate answer."""
    service.policy.enforce(caller, "volume_extension:services:index")
    up = service.exports.answer()
    found: dict[str, Any] = {
        "binary": "cinder-volume",
        "host": host_name(service),
        "zone": service.settings.availability_zone,
        "status": "enabled",
        "state": "up" if up else "down",
        "updated_at": moment(now()),
        "disabled_reason": None,
        "replication_status": "disabled",
        "active_backend_id": None,
        "frozen": False,
    }
    if version >= (3, 7):
        found["cluster"] = None
    if version >= (3, 49):
        found["backend_state"] = "up" if up else "down"
    wanted = request.query_params
    named = wanted.get("host", found["host"]) in (found["host"], service.settings.host)
    matches = named and wanted.get("binary", found["binary"]) == found["binary"]
    return {"services": [found] if matches else []}


@router.get("/os-hosts")
def hosts(request: Request, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    service.policy.enforce(caller, HOSTS)
    found = {
        "host_name": host_name(service),
        "service": "cinder-volume",
        "zone": service.settings.availability_zone,
        "service-status": "available" if service.exports.answer() else "unavailable",
        "service-state": "enabled",
        "last-update": moment(now()),
    }
    wanted = request.query_params.get("service", "cinder-volume")
    return {"hosts": [found] if wanted == found["service"] else []}


@router.get("/os-hosts/{name}")
def show_host(name: str, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    """What lies on the host, in all and per project; numbers as text, as Cinder has them."""
    service.policy.enforce(caller, HOSTS)
    if name != host_name(service):
        raise ServiceError(404, f"Host {name[:255]} could not be found.")
    with service.db.read() as session:
        projects = session.exec(select(Volume.project_id).distinct().order_by(Volume.project_id)).all()
        totals = [_resource(session, name, project) for project in (None, *projects)]
    return {"host": totals}


def _resource(session: Session, host: str, project: str | None) -> dict[str, Any]:
    volumes = select(func.count(), func.coalesce(func.sum(Volume.size), 0)).select_from(Volume)
    snapshots = select(func.count(), func.coalesce(func.sum(Snapshot.size), 0)).select_from(Snapshot)
    if project is not None:
        volumes = volumes.where(Volume.project_id == project)
        snapshots = snapshots.where(Snapshot.project_id == project)
    count, gibs = session.exec(volumes).one()
    snapshot_count, snapshot_gibs = session.exec(snapshots).one()
    facts = {
        "host": host,
        "project": project or "(total)",
        "volume_count": str(count),
        "total_volume_gb": str(gibs),
        "snapshot_count": str(snapshot_count),
        "total_snapshot_gb": str(snapshot_gibs),
    }
    return {"resource": facts}


def _pool(service: VolumeService) -> str:
    return f"{host_name(service)}#{FIRST_NAME}"


@router.get("/scheduler-stats/get_pools")
def pools(request: Request, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    """Free room, in GiB, of the file system that holds the volumes; with `detail` what the pool can do as well."""
    service.policy.enforce(caller, "scheduler_extension:scheduler_stats:get_pools")
    found: dict[str, Any] = {"name": _pool(service)}
    if boolean(request.query_params.get("detail") or "0", "detail"):
        found["capabilities"] = _capabilities(service, caller)
    wanted = request.query_params.get("name")
    return {"pools": [found] if wanted in (None, found["name"]) else []}


def _capabilities(service: VolumeService, caller: Context) -> dict[str, Any]:
    disk = os.statvfs(service.files.root)
    with service.db.read() as session:
        allocated = session.exec(select(func.coalesce(func.sum(Volume.size), 0))).one()
    return {
        "total_capacity_gb": round(disk.f_blocks * disk.f_frsize / 2**30, 2),
        "free_capacity_gb": round(disk.f_bavail * disk.f_frsize / 2**30, 2),
        "allocated_capacity_gb": int(allocated),
        "reserved_percentage": 0,
        "volume_backend_name": FIRST_NAME,
        "driver_version": "1.0",
        "storage_protocol": FIRST_NAME,
        "vendor_name": "Kilonova",
        "thin_provisioning_support": True,
        "thick_provisioning_support": False,
        "multiattach": True,
        "QoS_support": False,
        "timestamp": now().strftime("%Y-%m-%dT%H:%M:%S.%f"),
    }


@router.get("/capabilities/{name}")
def capabilities(name: str, caller: VolumeCaller, service: Service) -> dict[str, Any]:
    service.policy.enforce(caller, "volume_extension:capabilities")
    if name not in (service.settings.host, host_name(service), _pool(service)):
        raise ServiceError(404, f"Service cinder-volume could not be found on host {name[:255]}.")
    return {
        "namespace": f"OS::Storage::Capabilities::{name}",
        "vendor_name": "Kilonova",
        "volume_backend_name": FIRST_NAME,
        "pool_name": FIRST_NAME,
        "driver_version": "1.0",
        "storage_protocol": FIRST_NAME,
        "display_name": "Sparse raw files, reached over NBD",
        "description": "Volumes are files; hosts reach them through one storage daemon.",
        "visibility": "public",
        "replication_targets": [],
        "properties": {},
    }
