"""What clients see of volumes, snapshots and attachments, field by microversion. Source: Block Storage API v3."""

from datetime import datetime
from typing import Any

from api.volume.microversion import Version
from api.volume.service import TYPE_ID
from infra.settings import Settings
from infra.tables.volume import Attachment, Snapshot, Volume


def moment(value: datetime | None) -> str | None:
    """As Cinder writes times: UTC without a zone, microseconds always there."""
    return value.strftime("%Y-%m-%dT%H:%M:%S.%f") if value else None


def links(settings: Settings, kind: str, object_id: str) -> list[dict[str, str]]:
    return [
        {"rel": "self", "href": settings.url("volume", f"/v3/{kind}/{object_id}")},
        {"rel": "bookmark", "href": settings.url("volume", f"/{kind}/{object_id}")},
    ]


def volume_summary(settings: Settings, row: Volume) -> dict[str, Any]:
    return {"id": row.id, "name": row.name, "links": links(settings, "volumes", row.id)}


def volume(settings: Settings, row: Volume, used: list[Attachment], version: Version, admin: bool) -> dict[str, Any]:
    """`used`: attachments of this volume. `admin` adds where the volume lies."""
    body: dict[str, Any] = volume_summary(settings, row) | {
        "description": row.description,
        "status": row.status,
        "size": row.size,
        "availability_zone": row.availability_zone,
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
        "attachments": [old_attachment(a) for a in used if a.volume_id == row.id and a.connector],
        "user_id": row.user_id,
        "bootable": "true" if row.bootable else "false",
        "encrypted": False,
        "multiattach": False,
        "metadata": row.properties | ({"readonly": "True"} if row.readonly else {}),
        "volume_type": row.volume_type,
        "snapshot_id": row.snapshot_id,
        "source_volid": row.source_volid,
        "consistencygroup_id": None,
        "replication_status": None,
        "os-vol-tenant-attr:tenant_id": row.project_id,
    }
    if row.image_metadata:
        body["volume_image_metadata"] = row.image_metadata
    gated: list[tuple[Version, dict[str, Any]]] = [
        ((3, 13), {"group_id": None}),
        ((3, 48), {"shared_targets": False, "service_uuid": None}),
        ((3, 63), {"volume_type_id": TYPE_ID}),
        ((3, 65), {"consumes_quota": True}),
    ]
    if admin:
        place = {"os-vol-host-attr:host": f"{settings.host}@nbd#nbd"}
        body |= place | {"os-vol-mig-status-attr:migstat": None, "os-vol-mig-status-attr:name_id": None}
        gated += [((3, 21), {"provider_id": None}), ((3, 61), {"cluster_name": None})]
    for since, fields in gated:
        if version >= since:
            body |= fields
    return body


def old_attachment(row: Attachment) -> dict[str, Any]:
    """An attachment as a volume lists it, from before attachments had an API of their own."""
    connector = row.connector or {}
    return {
        "id": row.volume_id,
        "attachment_id": row.id,
        "volume_id": row.volume_id,
        "server_id": row.instance_id,
        "host_name": connector.get("host"),
        "device": connector.get("mountpoint"),
        "attached_at": moment(row.attached_at),
    }


def snapshot(row: Snapshot, version: Version) -> dict[str, Any]:
    done = row.status not in ("creating", "error")
    body: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "status": row.status,
        "size": row.size,
        "volume_id": row.volume_id,
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
        "metadata": row.properties,
        "os-extended-snapshot-attributes:progress": "100%" if done else "0%",
        "os-extended-snapshot-attributes:project_id": row.project_id,
    }
    gated: list[tuple[Version, dict[str, Any]]] = [
        ((3, 14), {"group_snapshot_id": None}),
        ((3, 41), {"user_id": row.user_id}),
        ((3, 65), {"consumes_quota": True}),
    ]
    for since, fields in gated:
        if version >= since:
            body |= fields
    return body


def attachment_summary(row: Attachment) -> dict[str, Any]:
    return {"id": row.id, "status": row.status, "instance": row.instance_id, "volume_id": row.volume_id}


def attachment(row: Attachment, connection: dict[str, Any]) -> dict[str, Any]:
    """`connection`: empty for those who may not know the export's name."""
    return attachment_summary(row) | {
        "attached_at": moment(row.attached_at) or "",
        "detached_at": "",
        "attach_mode": row.mode,
        "connection_info": connection,
    }
