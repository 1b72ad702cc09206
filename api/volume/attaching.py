"""The life of an attachment: reserved, attaching (exported), attached, detaching, gone.

Each change of state is one transaction that holds the volume's row, so that of two callers one wins."""

import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, bindparam, select

from api.common.context import Context
from api.common.errors import ServiceError
from api.volume.errors import attachment_not_found, exists, invalid_input, invalid_volume
from api.volume.records import follow
from api.volume.schemas import NewAttachment
from api.volume.service import VolumeService
from infra import credentials, logs
from infra.nbd import QmpError, QmpUnreachable
from infra.tables.volume import Attachment, Volume, now

log = logs.get(__name__)
_of = Attachment.__table__  # type: ignore[attr-defined]
KNOWN = select(_of.c.id).where(_of.c.id == bindparam("attachment"))
NEW = _of.insert()
CHANGED = _of.update().where(_of.c.id == bindparam("attachment"))


def reserve(service: VolumeService, caller: Context, wanted: NewAttachment, *, complete: bool = False) -> Attachment:
    """Take the volume for one server (or host). 400 when another has it; 409 when the chosen id exists already.
    `complete`: with a connector it is attached at once."""
    _only_to_itself(caller, wanted.connector)
    if wanted.id:
        service.policy.enforce(caller, "volume:create_for_project")
    with service.db.transaction() as store:
        if wanted.id and store.execute(KNOWN, {"attachment": wanted.id}).first():
            raise exists("Attachment", wanted.id)
        volume, others = service.records.held(store, caller, wanted.volume_uuid, "volume:attachment_create")
        _check_free(volume, others, wanted.instance_uuid)
        row = Attachment(
            id=wanted.id or str(uuid.uuid4()),
            volume_id=volume.id,
            project_id=volume.project_id,
            instance_id=wanted.instance_uuid,
            mode=mode_of(volume, wanted.mode, wanted.connector),
            connector=host_facts(wanted.connector) or None,
            status="attaching" if wanted.connector else "reserved",
            secret=secrets.token_hex(16),
        )
        if wanted.connector and complete:
            _completed(row)
        store.execute(NEW, row.model_dump())
        follow(store, volume, [*others, row])
    if wanted.connector:
        export(service, row)
    return row


def host_of(caller: Context) -> str | None:
    """The compute host whose credential the caller has; None for everybody else."""
    if credentials.HOST_ROLE not in caller.roles:
        return None
    return caller.facts.user_name.removeprefix(credentials.host_user(""))


def _only_to_itself(caller: Context, connector: dict[str, Any] | None) -> None:
    """403 when a compute host wants a volume connected to another."""
    host = host_of(caller)
    if connector and host is not None and connector.get("host") != host:
        raise ServiceError(403, "A compute host connects volumes to itself only.")


def _check_free(volume: Volume, others: list[Attachment], instance_id: str | None) -> None:
    """The same server may attach a second time: its other host needs the volume while it moves there."""
    if "error" in volume.status:
        raise invalid_volume(
            "Volume attachments can not be created if the volume is in an error state. "
            f"The Volume {volume.id} currently has a status of: {volume.status} "
        )
    free = ("available", "in-use") if volume.multiattach else ("available",)
    if volume.status in free:
        return
    mine = [a for a in others if instance_id and a.instance_id == instance_id]
    if volume.status not in ("reserved", "attaching", "in-use") or not mine:
        raise invalid_volume(
            f"Volume {volume.id} status must be {' or '.join(free)} to reserve, but the current status is "
            f"{volume.status}."
        )


def mode_of(volume: Volume, asked: str | None, connector: dict[str, Any] | None) -> str:
    told = (connector or {}).get("mode")
    mode = next((m for m in (asked, told) if m in ("rw", "ro")), "ro" if volume.readonly else "rw")
    if mode == "rw" and volume.readonly:
        raise ServiceError(400, f"Invalid attaching mode '{mode}' for volume {volume.id}.")
    return mode


def host_facts(connector: dict[str, Any] | None) -> dict[str, Any]:
    """What is kept of a connector: short texts, numbers and flags; 400 when it names no host.

    Whatever else a host knows about itself (keys, target lists) is not needed to reach a volume of this service."""
    if connector and not (isinstance(connector.get("host"), str) and connector["host"]):
        raise invalid_input("Connector doesn't have required information: host")
    kept = {}
    for name, value in list((connector or {}).items())[:64]:
        if len(name) <= 64 and (isinstance(value, bool | int) or (isinstance(value, str) and len(value) <= 255)):
            kept[name] = value
    return kept


def locked(
    store: Connection, service: VolumeService, caller: Context, attachment_id: str, rule: str
) -> tuple[Attachment, Volume, list[Attachment]]:
    """See `Records.held_attachment`."""
    found = service.records.held_attachment(store, caller, attachment_id, rule)
    guard(service, caller, found[0])
    return found


def _keep(store: Connection, row: Attachment) -> None:
    """Write what changes in an attachment's life."""
    changed = row.model_dump(include={"status", "connector", "secret", "attached_at"})
    store.execute(CHANGED, changed | {"attachment": row.id})


def guard(service: VolumeService, caller: Context, row: Attachment) -> None:
    """409 for tenants: a server's attachment is changed through the compute API (CVE-2023-2088)."""
    if row.instance_id and not service.policy.allows(caller, "volume:attachment_of_server"):
        raise ServiceError(409, f"Detach volume from instance {row.instance_id} using the Compute API")


def connect(
    service: VolumeService, caller: Context, attachment_id: str, connector: dict[str, Any], *, complete: bool = False
) -> Attachment:
    """Say which host will use the volume, and export it; `complete`: it does already. May be repeated: the export keeps
    its name.

    When another host takes over, the export gets a new name and the old host's connections end: a host that was given
    up cannot write any more, should it wake up."""
    _only_to_itself(caller, connector)
    stale, connector = "", host_facts(connector)
    with service.db.transaction() as store:
        row, volume, rows = locked(store, service, caller, attachment_id, "volume:attachment_update")
        if row.status == "detaching":
            raise attachment_not_found(attachment_id)
        if "error" in volume.status:
            raise ServiceError(
                409,
                "Resource conflict: Volume attachments can not be updated if the volume is in an error state. "
                f"The Volume {volume.id} currently has a status of: {volume.status} ",
            )
        if row.connector and row.connector.get("host") != connector.get("host"):
            stale = service.exports.wanted(row).id
            row.secret = secrets.token_hex(16)
        row.connector = connector
        if row.status == "reserved":
            row.status = "attaching"
        if complete:
            _completed(row)
        _keep(store, row)
        follow(store, volume, rows)
    export(service, row, stale)
    return row


def export(service: VolumeService, row: Attachment, stale: str = "") -> None:
    """Export the volume now; `stale` is the id of an export to end first. 503 when the daemon does not do it."""
    try:
        if stale:
            service.exports.end(stale)
        service.exports.ensure(row.id)
    except (QmpUnreachable, QmpError) as error:
        log.error("export failed", attachment_id=row.id, error=str(error))
        raise ServiceError(503, "The volume cannot be exported now; try again.") from error


def complete(service: VolumeService, caller: Context, attachment_id: str) -> None:
    """The volume is in use from now on; as in Cinder also where no host has it yet."""
    with service.db.transaction() as store:
        row, volume, rows = locked(store, service, caller, attachment_id, "volume:attachment_update")
        if row.status == "detaching":
            raise invalid_volume(f"Attachment {row.id} is detaching: no host has it.")
        _completed(row)
        _keep(store, row)
        follow(store, volume, rows)


def _completed(row: Attachment) -> None:
    if row.status in ("reserved", "attaching"):
        row.status, row.attached_at = "attached", now()


def detach(service: VolumeService, caller: Context, attachment_id: str) -> list[Attachment]:
    """End the export, then free the volume; the volume's other attachments.

    The volume is not free before its last user is cut off, whatever dies in between."""
    with service.db.transaction() as store:
        row, volume, rows = locked(store, service, caller, attachment_id, "volume:attachment_delete")
        row.status = "detaching"
        _keep(store, row)
        follow(store, volume, rows)
    with unexporting(attachment_id):
        return service.exports.finish(row)


@contextmanager
def unexporting(attachment_id: str = "") -> Iterator[None]:
    """503 when the daemon hangs while exports end; the watch ends them then."""
    try:
        yield
    except (QmpUnreachable, QmpError) as error:
        log.error("unexport failed", attachment_id=attachment_id, error=str(error))
        raise ServiceError(503, "The volume's export did not end yet; it will be ended later.") from error
