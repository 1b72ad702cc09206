"""Rows of the volume service: who may see them, and the statuses that follow from others."""

from sqlalchemy import bindparam
from sqlalchemy import select as core_select
from sqlmodel import Session, col, select

from api.common.context import Context
from api.common.errors import ServiceError
from api.common.policy import Policy
from api.volume.errors import attachment_not_found, snapshot_not_found, volume_not_found
from infra.tables.volume import Attachment, Snapshot, Volume, now

FROM_ATTACHMENTS = ("reserved", "attaching", "in-use", "detaching")
"""Statuses of a volume that its attachments decide."""
STATES = (("attached", "in-use"), ("attaching", "attaching"), ("reserved", "reserved"), ("detaching", "detaching"))
"""(an attachment's status, the volume's that follows from it), the first that applies."""
_of = Attachment.__table__  # type: ignore[attr-defined]
STATUSES = core_select(_of.c.status).where(_of.c.volume_id == bindparam("volume"))
OF_VOLUMES = (
    select(Attachment)
    .where(col(Attachment.volume_id).in_(bindparam("volumes", expanding=True)))
    .order_by(col(Attachment.created_at))
)


class Records:
    """Finds rows for a caller. What the caller may not see does not exist (404); what it may not do is 403.

    `lock=True` inside a write session keeps others from changing the row until the session ends."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def volume(
        self, session: Session, caller: Context, volume_id: str, rule: str = "volume:get", *, lock: bool = False
    ) -> Volume:
        row = session.get(Volume, volume_id, with_for_update=lock or None)
        if row is None:
            raise volume_not_found(volume_id)
        self._check(caller, row.project_id, ("volume:get", rule), volume_not_found(volume_id))
        return row

    def snapshot(
        self,
        session: Session,
        caller: Context,
        snapshot_id: str,
        rule: str = "volume:get_snapshot",
        *,
        lock: bool = False,
    ) -> Snapshot:
        row = session.get(Snapshot, snapshot_id, with_for_update=lock or None)
        if row is None:
            raise snapshot_not_found(snapshot_id)
        self._check(caller, row.project_id, ("volume:get_snapshot", rule), snapshot_not_found(snapshot_id))
        return row

    def attachment(self, session: Session, caller: Context, attachment_id: str, rule: str = "volume:get") -> Attachment:
        row = session.get(Attachment, attachment_id)
        if row is None:
            raise attachment_not_found(attachment_id)
        self._check(caller, row.project_id, ("volume:get", rule), attachment_not_found(attachment_id))
        return row

    def _check(self, caller: Context, project_id: str, rules: tuple[str, str], missing: ServiceError) -> None:
        target = {"project_id": project_id}
        if not self._policy.allows(caller, rules[0], target):
            raise missing
        self._policy.enforce(caller, rules[1], target)


def attachments_of(session: Session, *volume_ids: str) -> list[Attachment]:
    return list(session.exec(OF_VOLUMES, params={"volumes": volume_ids}).all())


def refresh_status(session: Session, volume: Volume) -> None:
    """Set a volume's status from its attachments; one that is building, deleting or in error keeps its own."""
    if volume.status in (*FROM_ATTACHMENTS, "available"):
        settle_status(session, volume)


def settle_status(session: Session, volume: Volume) -> None:
    """Set a volume's status from its attachments, whatever it was: what was done to it is over."""
    session.flush()
    states = {status for (status,) in session.connection().execute(STATUSES, {"volume": volume.id})}
    status = "available"
    for state, meaning in STATES:
        if state in states:
            status = meaning
            break
    if volume.status != status:
        volume.status, volume.updated_at = status, now()


def is_source(session: Session, *, volume_id: str = "", snapshot_id: str = "") -> bool:
    """Whether something is being made from this volume or snapshot right now."""
    building = col(Volume.status).in_(("creating", "downloading"))
    if snapshot_id:
        return session.exec(select(Volume.id).where(building, Volume.snapshot_id == snapshot_id)).first() is not None
    copies = select(Snapshot.id).where(Snapshot.volume_id == volume_id, Snapshot.status == "creating")
    clones = select(Volume.id).where(building, Volume.source_volid == volume_id)
    return session.exec(copies).first() is not None or session.exec(clones).first() is not None
