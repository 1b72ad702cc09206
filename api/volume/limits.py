"""What a project may use and does use; creations check it while they hold the project's row."""

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, func, select

from api.common.errors import ServiceError
from infra.tables.volume import Quota, Snapshot, Volume

DEFAULTS = {
    "volumes": 10,
    "snapshots": 10,
    "gigabytes": 1000,
    "per_volume_gigabytes": -1,
    "backups": 10,
    "backup_gigabytes": 1000,
    "groups": 10,
    "volumes_nbd": -1,
    "snapshots_nbd": -1,
    "gigabytes_nbd": -1,
}


def limits(session: Session, project_id: str) -> dict[str, int]:
    row = session.get(Quota, project_id)
    return DEFAULTS | (row.limits if row else {})


def usage(session: Session, project_id: str) -> dict[str, int]:
    """Everything of the project counts, errors too, until it is deleted; snapshots count as gigabytes as well."""
    volumes, volume_gib = session.exec(
        select(func.count(col(Volume.id)), func.coalesce(func.sum(Volume.size), 0)).where(
            Volume.project_id == project_id
        )
    ).one()
    snapshots, snapshot_gib = session.exec(
        select(func.count(col(Snapshot.id)), func.coalesce(func.sum(Snapshot.size), 0)).where(
            Snapshot.project_id == project_id
        )
    ).one()
    used = {"volumes": volumes, "snapshots": snapshots, "gigabytes": int(volume_gib) + int(snapshot_gib)}
    used |= {f"{name}_nbd": count for name, count in used.items()}
    return dict.fromkeys(DEFAULTS, 0) | used


def lock_project(session: Session, project_id: str) -> None:
    """Let no one else create in this project until the session ends."""
    if session.get(Quota, project_id, with_for_update=True):
        return
    try:
        with session.begin_nested():
            session.add(Quota(project_id=project_id))
    except IntegrityError:
        session.get(Quota, project_id, with_for_update=True)


def check(session: Session, project_id: str, kind: str, gigabytes: int) -> None:
    """413 unless the project may have one more of `kind` (volumes, snapshots, or empty to extend) of this size."""
    lock_project(session, project_id)
    allowed, used = limits(session, project_id), usage(session, project_id)
    singular = kind.removesuffix("s")
    for name in (kind, f"{kind}_nbd") if kind else ():
        if 0 <= allowed[name] < used[name] + 1:
            words = f"Maximum number of {kind} allowed ({allowed[name]}) exceeded for quota '{name}'."
            raise ServiceError(413, f"{singular.capitalize()}LimitExceeded: {words}")
    if kind != "snapshots" and 0 <= allowed["per_volume_gigabytes"] < gigabytes:
        words = f"Requested size {gigabytes}G is larger than maximum allowed limit {allowed['per_volume_gigabytes']}G."
        raise ServiceError(413, f"VolumeSizeExceedsLimit: {words}")
    for name in ("gigabytes", "gigabytes_nbd"):
        if 0 <= allowed[name] < used[name] + gigabytes:
            raise ServiceError(
                413,
                "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed "
                f"{name} quota. Requested {gigabytes}G, quota is {allowed[name]}G and {used[name]}G has been consumed.",
            )
