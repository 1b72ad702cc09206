"""Attaching by actions on the volume, from before attachments had an API of their own (Terraform does it so).

Source: Block Storage API v3, "Volume actions"; the checks and words are Cinder's.

os-initialize_connection exports the volume to one host, os-attach records who has it, os-detach and
os-terminate_connection end each. Their rows are attachments too, so that exports and statuses have one truth."""

import re
import secrets
import uuid
from collections.abc import Callable
from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse
from sqlmodel import Session

from api.common.context import Context
from api.common.errors import ServiceError
from api.volume.attaching import export, guard, host_facts, mode_of, unexporting
from api.volume.errors import attachment_not_found, invalid_input, invalid_volume
from api.volume.records import attachments_of, settle_status
from api.volume.schemas import UUID
from api.volume.service import VolumeService
from infra.tables.volume import Attachment, Volume, now

ACTIONS = "volume_extension:volume_actions"
MODES = ("rw", "ro")
Act = Callable[[VolumeService, Context, str, dict[str, Any]], Response]


def _volume(session: Session, service: VolumeService, caller: Context, volume_id: str, rule: str) -> Volume:
    return service.records.volume(session, caller, volume_id, f"{ACTIONS}:{rule}", lock=True)


def reserve(service: VolumeService, caller: Context, volume_id: str, given: dict[str, Any]) -> Response:
    with service.db.write() as session:
        volume = _volume(session, service, caller, volume_id, "reserve")
        free = ("available", "in-use") if volume.multiattach else ("available",)
        if volume.status not in free:
            words = f"Volume status must be {' or '.join(free)} to reserve, but the status is {volume.status}."
            raise invalid_volume(words)
        volume.status, volume.updated_at = "attaching", now()
    return Response(status_code=202)


def unreserve(service: VolumeService, caller: Context, volume_id: str, given: dict[str, Any]) -> Response:
    """Nothing happens to a volume that is not reserved, as in Cinder."""
    with service.db.write() as session:
        volume = _volume(session, service, caller, volume_id, "reserve")
        if volume.status == "attaching":
            settle_status(session, volume)
    return Response(status_code=202)


def begin_detaching(service: VolumeService, caller: Context, volume_id: str, given: dict[str, Any]) -> Response:
    with service.db.write() as session:
        volume = _volume(session, service, caller, volume_id, "detach")
        attached = any(a.status == "attached" for a in attachments_of(session, volume.id))
        if volume.status != "in-use" or not attached:
            raise invalid_volume(
                "Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to "
                "detach."
            )
        volume.status, volume.updated_at = "detaching", now()
    return Response(status_code=202)


def roll_detaching(service: VolumeService, caller: Context, volume_id: str, given: dict[str, Any]) -> Response:
    with service.db.write() as session:
        volume = _volume(session, service, caller, volume_id, "detach")
        if volume.status == "detaching":
            settle_status(session, volume)
    return Response(status_code=202)


def _connector(given: dict[str, Any], *, needed: bool) -> dict[str, Any]:
    connector = given.get("connector")
    if connector is None and not needed and "connector" in given:
        return {}
    if not isinstance(connector, dict) or not isinstance(connector.get("host"), str):
        raise invalid_input("Connector doesn't have required information: host")
    return host_facts(connector)


def initialize(service: VolumeService, caller: Context, volume_id: str, given: dict[str, Any]) -> Response:
    """Export the volume to the connector's host. Repeated for the same host it answers the same export."""
    connector = _connector(given, needed=True)
    with service.db.write() as session:
        volume = _volume(session, service, caller, volume_id, "initialize_connection")
        row = next((a for a in attachments_of(session, volume.id) if a.legacy and _is_of(a, connector)), None)
        if row is None:
            _check_connectable(session, volume)
            row = Attachment(
                id=str(uuid.uuid4()),
                volume_id=volume.id,
                project_id=volume.project_id,
                status="attaching",
                mode=mode_of(volume, None, connector),
                secret=secrets.token_hex(16),
                legacy=True,
            )
        row.connector = connector
        session.add(row)
        settle_status(session, volume)
    export(service, row)
    info = service.exports.connection(row)
    return JSONResponse({"connection_info": info | {"enforce_multipath": bool(connector.get("enforce_multipath"))}})


def _is_of(row: Attachment, connector: dict[str, Any]) -> bool:
    return (row.connector or {}).get("host") in (None, connector.get("host"))


def _check_connectable(session: Session, volume: Volume) -> None:
    """A volume that others use is not exported once more: two writers would destroy its file system."""
    others = attachments_of(session, volume.id)
    ready = ("available", "attaching", "in-use") if volume.multiattach else ("available", "attaching")
    if volume.status not in ready or (others and not volume.multiattach):
        raise invalid_volume(f"Volume {volume.id} status must be available, but the current status is {volume.status}.")


def terminate(service: VolumeService, caller: Context, volume_id: str, given: dict[str, Any]) -> Response:
    """End the export to the connector's host, or to every host without one. What is recorded by os-attach stays."""
    connector = _connector(given, needed=False)
    ended = []
    with service.db.write() as session:
        volume = _volume(session, service, caller, volume_id, "terminate_connection")
        for row in attachments_of(session, volume.id):
            if not row.legacy or (connector and not _is_of(row, connector)):
                continue
            guard(service, caller, row)
            ended.append(service.exports.wanted(row).id)
            if row.status == "attached":
                row.connector = {k: v for k, v in (row.connector or {}).items() if k == "mountpoint"}
                row.secret = secrets.token_hex(16)
            else:
                session.delete(row)
        settle_status(session, volume)
    for export_id in ended:
        with unexporting():
            service.exports.end(export_id)
    return Response(status_code=202)


def attach(service: VolumeService, caller: Context, volume_id: str, given: dict[str, Any]) -> Response:
    server, host, place = given.get("instance_uuid"), given.get("host_name"), given.get("mountpoint")
    if not isinstance(place, str) or not 1 <= len(place) <= 255 or not (server or host):
        raise ServiceError(400, "Invalid input for field/attribute os-attach. A mountpoint and a server are expected.")
    if server is not None and not (isinstance(server, str) and re.fullmatch(UUID, server)):
        raise ServiceError(400, "Invalid input for field/attribute instance_uuid. An id is expected.")
    if (host is not None and not (isinstance(host, str) and len(host) <= 255)) or given.get("mode", "rw") not in MODES:
        raise ServiceError(400, "Invalid input for field/attribute os-attach. Host name or mode is not valid.")
    with service.db.write() as session:
        volume = _volume(session, service, caller, volume_id, "attach")
        rows = attachments_of(session, volume.id)
        row = next((a for a in rows if a.legacy and a.status != "attached"), None)
        ready = ("available", "attaching", "in-use") if volume.multiattach else ("available", "attaching")
        if volume.status not in ready or (row is None and rows and not volume.multiattach):
            raise invalid_volume(f"Error attaching volume - InvalidVolume: volume is {volume.status}")
        mode = mode_of(volume, str(given.get("mode", "rw")), None)
        row = row or Attachment(
            id=str(uuid.uuid4()), volume_id=volume.id, project_id=volume.project_id, secret=secrets.token_hex(16)
        )
        row.legacy, row.status, row.mode, row.attached_at = True, "attached", mode, now()
        row.instance_id = server
        row.connector = (row.connector or {}) | {"mountpoint": place} | ({"host": host} if host else {})
        session.add(row)
        settle_status(session, volume)
    return Response(status_code=202)


def detach(service: VolumeService, caller: Context, volume_id: str, given: dict[str, Any]) -> Response:
    _end(service, caller, volume_id, given.get("attachment_id"), f"{ACTIONS}:detach")
    return Response(status_code=202)


def force_detach(service: VolumeService, caller: Context, volume_id: str, given: dict[str, Any]) -> Response:
    """For administrators: whatever the volume's status says."""
    rule = "volume_extension:volume_admin_actions:force_detach"
    _end(service, caller, volume_id, given.get("attachment_id"), rule)
    return Response(status_code=202)


def _end(service: VolumeService, caller: Context, volume_id: str, attachment_id: object, rule: str) -> None:
    with service.db.write() as session:
        volume = service.records.volume(session, caller, volume_id, rule, lock=True)
        rows = attachments_of(session, volume.id)
        if attachment_id is not None:
            rows = [row for row in rows if row.id == attachment_id]
            if not rows:
                raise attachment_not_found(str(attachment_id)[:64])
        if len(rows) > 1:
            raise invalid_volume("Detach volume failed: More than one attachment, but no attachment_id provided.")
        for row in rows:
            guard(service, caller, row)
            row.status = "detaching"
        settle_status(session, volume)
    for row in rows:
        with unexporting(row.id):
            service.exports.finish(row)


def no_arguments(given: object) -> dict[str, Any]:
    return given if isinstance(given, dict) else {}


TABLE: dict[str, Act] = {
    "os-reserve": reserve,
    "os-unreserve": unreserve,
    "os-begin_detaching": begin_detaching,
    "os-roll_detaching": roll_detaching,
    "os-initialize_connection": initialize,
    "os-terminate_connection": terminate,
    "os-attach": attach,
    "os-detach": detach,
    "os-force_detach": force_detach,
}
