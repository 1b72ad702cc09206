"""Rows of the volume service: who may see them, and the statuses that follow from others."""

from collections.abc import Iterable
from typing import cast

from sqlalchemy import Connection, bindparam
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
_of, _volumes = Attachment.__table__, Volume.__table__  # type: ignore[attr-defined]
STATUSES = core_select(_of.c.status).where(_of.c.volume_id == bindparam("volume"))
ONE = core_select(_volumes).where(_volumes.c.id == bindparam("volume"))
ITS_VOLUME = core_select(_of.c.volume_id).where(_of.c.id == bindparam("attachment")).scalar_subquery()
HELD_OF = core_select(_volumes).where(_volumes.c.id == ITS_VOLUME).with_for_update()
ITS_ATTACHMENTS = core_select(_of).where(_of.c.volume_id == bindparam("volume")).order_by(_of.c.created_at)
HELD = ONE.with_for_update()
FOLLOWS = _volumes.update().where(_volumes.c.id == bindparam("volume"))
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
        return self._may(caller, row, volume_id, rule)

    def look(self, store: Connection, caller: Context, volume_id: str) -> tuple[Volume, list[Attachment]]:
        """A volume and its attachments, as they are."""
        volume = self._may(caller, one(store, volume_id), volume_id, "volume:get")
        return volume, its_attachments(store, volume_id)

    def held(self, store: Connection, caller: Context, volume_id: str, rule: str) -> tuple[Volume, list[Attachment]]:
        """As `look`; nobody else changes either until the transaction ends."""
        volume = self._may(caller, one(store, volume_id, lock=True), volume_id, rule)
        return volume, its_attachments(store, volume_id)

    def _may(self, caller: Context, row: Volume | None, volume_id: str, rule: str) -> Volume:
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

    def attachment(self, session: Session, caller: Context, attachment_id: str) -> Attachment:
        row = session.get(Attachment, attachment_id)
        if row is None:
            raise attachment_not_found(attachment_id)
        self._check(caller, row.project_id, ("volume:get", "volume:get"), attachment_not_found(attachment_id))
        return row

    def held_attachment(
        self, store: Connection, caller: Context, attachment_id: str, rule: str
    ) -> tuple[Attachment, Volume, list[Attachment]]:
        """The attachment as it is once nobody else can change its volume, the volume, and all its attachments; 404 when
        it is gone by then."""
        found = cast(Volume | None, store.execute(HELD_OF, {"attachment": attachment_id}).first())
        rows = its_attachments(store, found.id) if found else []
        row = next((each for each in rows if each.id == attachment_id), None)
        if found is None or row is None:
            raise attachment_not_found(attachment_id)
        self._check(caller, row.project_id, ("volume:get", rule), attachment_not_found(attachment_id))
        return row, found, rows

    def _check(self, caller: Context, project_id: str, rules: tuple[str, str], missing: ServiceError) -> None:
        target = {"project_id": project_id}
        if not self._policy.allows(caller, rules[0], target):
            raise missing
        self._policy.enforce(caller, rules[1], target)


def one(store: Connection, volume_id: str, *, lock: bool = False) -> Volume | None:
    """The row as the statement gives it, which has a volume's columns: it is read, never changed."""
    return cast(Volume | None, store.execute(HELD if lock else ONE, {"volume": volume_id}).first())


def its_attachments(store: Connection, volume_id: str) -> list[Attachment]:
    return [Attachment(**row._mapping) for row in store.execute(ITS_ATTACHMENTS, {"volume": volume_id})]


def attachments_of(session: Session, *volume_ids: str) -> list[Attachment]:
    return list(session.exec(OF_VOLUMES, params={"volumes": volume_ids}).all())


def follow(store: Connection, volume: Volume, attachments: Iterable[Attachment]) -> None:
    """Set the status of a volume that is held from its attachments; one that is building, deleting or in error keeps
    its own."""
    status = status_from({each.status for each in attachments})
    if volume.status in (*FROM_ATTACHMENTS, "available") and volume.status != status:
        store.execute(FOLLOWS, {"volume": volume.id, "status": status, "updated_at": now()})


def settle_status(session: Session, volume: Volume) -> None:
    """Set a volume's status from its attachments, whatever it was: what was done to it is over."""
    session.flush()
    states = {status for (status,) in session.connection().execute(STATUSES, {"volume": volume.id})}
    status = status_from(states)
    if volume.status != status:
        volume.status, volume.updated_at = status, now()


def status_from(states: set[str]) -> str:
    """A volume's status, by the statuses of its attachments."""
    return next((meaning for state, meaning in STATES if state in states), "available")


def is_source(session: Session, *, volume_id: str = "", snapshot_id: str = "") -> bool:
    """Whether something is being made from this volume or snapshot right now."""
    building = col(Volume.status).in_(("creating", "downloading"))
    if snapshot_id:
        return session.exec(select(Volume.id).where(building, Volume.snapshot_id == snapshot_id)).first() is not None
    copies = select(Snapshot.id).where(Snapshot.volume_id == volume_id, Snapshot.status == "creating")
    clones = select(Volume.id).where(building, Volume.source_volid == volume_id)
    return session.exec(copies).first() is not None or session.exec(clones).first() is not None
