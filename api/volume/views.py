"""What clients see of volumes, snapshots and attachments, field by microversion. Source: Block Storage API v3."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.common.context import Context
from api.common.request_head import public_url
from api.volume.microversion import Version
from infra.settings import Settings
from infra.tables.volume import Attachment, Snapshot, Volume


@dataclass(frozen=True)
class Look:
    """How a request wants to see things: its microversion, and what its caller may know."""

    settings: Settings
    version: Version
    caller: Context
    admin: bool = False  # sees where a volume lies


def moment(value: datetime | None) -> str | None:
    """As Cinder writes times: UTC without a zone, microseconds always there."""
    return value.strftime("%Y-%m-%dT%H:%M:%S.%f") if value else None


def links(settings: Settings, kind: str, object_id: str) -> list[dict[str, str]]:
    return [
        {"rel": "self", "href": public_url(f"/v3/{kind}/{object_id}")},
        {"rel": "bookmark", "href": public_url(f"/{kind}/{object_id}")},
    ]


def volume_summary(settings: Settings, row: Volume) -> dict[str, Any]:
    return {"id": row.id, "name": row.name, "links": links(settings, "volumes", row.id)}


def new_volume(look: Look, row: Volume, used: list[Attachment]) -> dict[str, Any]:
    """As creation and update answer: without the facts that Cinder's extensions add to what is read."""
    body: dict[str, Any] = volume_summary(look.settings, row) | {
        "description": row.description,
        "status": row.status,
        "size": row.size,
        "availability_zone": row.availability_zone,
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
        "attachments": [old_attachment(look, a) for a in used if a.volume_id == row.id and shown(look, a)],
        "user_id": row.user_id,
        "bootable": "true" if row.bootable else "false",
        "encrypted": False,
        "multiattach": row.multiattach,
        "metadata": row.properties | ({"readonly": "True"} if row.readonly else {}),
        "volume_type": row.volume_type,
        "snapshot_id": row.snapshot_id,
        "source_volid": row.source_volid,
        "consistencygroup_id": None,
        "replication_status": None,
    }
    gated: list[tuple[Version, dict[str, Any]]] = [
        ((3, 13), {"group_id": None}),
        ((3, 48), {"shared_targets": False, "service_uuid": None}),
        ((3, 63), {"volume_type_id": row.volume_type_id}),
        ((3, 65), {"consumes_quota": True}),
    ]
    if look.caller.is_admin:
        body["migration_status"] = None
        gated += [((3, 21), {"provider_id": None}), ((3, 61), {"cluster_name": None})]
    return body | _since(look.version, gated)


def volume(look: Look, row: Volume, used: list[Attachment]) -> dict[str, Any]:
    """As a volume is read. `used`: attachments of this volume, and perhaps of others."""
    body = new_volume(look, row, used) | {"os-vol-tenant-attr:tenant_id": row.project_id}
    if row.image_metadata:
        body["volume_image_metadata"] = row.image_metadata
    if look.admin:
        place = {"os-vol-host-attr:host": f"{look.settings.host}@nbd#nbd"}
        body |= place | {"os-vol-mig-status-attr:migstat": None, "os-vol-mig-status-attr:name_id": None}
    return body


def _since(version: Version, gated: list[tuple[Version, dict[str, Any]]]) -> dict[str, Any]:
    return {name: value for since, fields in gated if version >= since for name, value in fields.items()}


def shown(look: Look, row: Attachment) -> bool:
    """Tenants see who has the volume. A host about to undo its own work must see also who is getting it."""
    return row.status == "attached" or bool(look.caller.is_service and row.connector)


def old_attachment(look: Look, row: Attachment) -> dict[str, Any]:
    """An attachment as a volume lists it, from before attachments had an API of their own."""
    connector = row.connector or {}
    told = look.caller.is_admin or look.caller.is_service
    return {
        "id": row.volume_id,
        "attachment_id": row.id,
        "volume_id": row.volume_id,
        "server_id": row.instance_id,
        "host_name": connector.get("host") if told else None,
        "device": connector.get("mountpoint"),
        "attached_at": moment(row.attached_at),
    }


def snapshot_summary(row: Snapshot) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "status": row.status,
        "size": row.size,
        "volume_id": row.volume_id,
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
        "metadata": row.properties,
    }


def new_snapshot(row: Snapshot, version: Version) -> dict[str, Any]:
    gated: list[tuple[Version, dict[str, Any]]] = [
        ((3, 14), {"group_snapshot_id": None}),
        ((3, 41), {"user_id": row.user_id}),
        ((3, 65), {"consumes_quota": True}),
    ]
    return snapshot_summary(row) | _since(version, gated)


def snapshot(row: Snapshot, version: Version) -> dict[str, Any]:
    done = row.status not in ("creating", "error")
    return new_snapshot(row, version) | {
        "os-extended-snapshot-attributes:progress": "100%" if done else "0%",
        "os-extended-snapshot-attributes:project_id": row.project_id,
    }


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
