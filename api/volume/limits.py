"""What a project may use and does use; creations check it while they hold the project's row."""

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, func, select

from api.common.errors import ServiceError
from infra.tables.volume import Quota, Snapshot, Volume, VolumeType

COUNTED = ("volumes", "snapshots", "gigabytes")
FIXED = {
    "volumes": 10,
    "snapshots": 10,
    "gigabytes": 1000,
    "per_volume_gigabytes": -1,
    "backups": 10,
    "backup_gigabytes": 1000,
    "groups": 10,
}
MAXIMUM = 2**31 - 1


DEFAULT_CLASS = "class:default"
"""In place of a project's id: what an administrator set for all projects. No project has a colon in its id."""


def defaults(session: Session) -> dict[str, int]:
    """Every project's limits unless set otherwise: those above, and three for each type, unlimited; or what an
    administrator set for all of them."""
    names = session.exec(select(VolumeType.name).order_by(col(VolumeType.created_at))).all()
    known = FIXED | {f"{kind}_{name}": -1 for name in names for kind in COUNTED}
    return known | _stored(session, DEFAULT_CLASS, known)


def limits(session: Session, project_id: str) -> dict[str, int]:
    known = defaults(session)
    return known | _stored(session, project_id, known)


def _stored(session: Session, project_id: str, known: dict[str, int]) -> dict[str, int]:
    row = session.get(Quota, project_id)
    return {key: value for key, value in row.limits.items() if key in known} if row else {}


def usage(session: Session, project_id: str) -> dict[str, int]:
    """Everything of the project counts, errors too, until it is deleted; snapshots count as gigabytes as well, and a
    volume that grows counts as what it will be."""
    used = dict.fromkeys(defaults(session), 0)
    size = func.coalesce(func.sum(func.coalesce(col(Volume.target_size), Volume.size)), 0)
    volumes = select(Volume.volume_type, func.count(), size).where(Volume.project_id == project_id)
    for name, count, gibs in session.exec(volumes.group_by(Volume.volume_type)).all():
        _count(used, "volumes", name, count, int(gibs))
    rows = select(Volume.volume_type, func.count(), func.coalesce(func.sum(Snapshot.size), 0))
    mine = rows.where(Snapshot.volume_id == Volume.id, Snapshot.project_id == project_id)
    for name, count, gibs in session.exec(mine.group_by(Volume.volume_type)).all():
        _count(used, "snapshots", name, count, int(gibs))
    return used


def _count(used: dict[str, int], kind: str, type_name: str, count: int, gibs: int) -> None:
    for name, more in ((kind, count), ("gigabytes", gibs)):
        used[name] += more
        used[f"{name}_{type_name}"] = used.get(f"{name}_{type_name}", 0) + more


def lock_project(session: Session, project_id: str) -> None:
    """Let no one else create in this project until the session ends."""
    if session.get(Quota, project_id, with_for_update=True):
        return
    try:
        with session.begin_nested():
            session.add(Quota(project_id=project_id))
    except IntegrityError:
        session.get(Quota, project_id, with_for_update=True)


def check(session: Session, project_id: str, kind: str, gigabytes: int, type_name: str, *, size: int = 0) -> None:
    """413 unless the project may have one more of `kind` (volumes, snapshots, or empty: a volume grows) of this size.

    `size`: what one volume would then have, for the limit on one volume's size. Words: Cinder's exceptions."""
    check_many(session, project_id, {kind: 1} if kind else {}, gigabytes, type_name, size=size)


def check_many(
    session: Session, project_id: str, more: dict[str, int], gigabytes: int, type_name: str, *, size: int = 0
) -> None:
    lock_project(session, project_id)
    allowed, used = limits(session, project_id), usage(session, project_id)
    most = allowed["per_volume_gigabytes"]
    if 0 <= most < size:
        raise over(f"Requested volume size {size}G is larger than maximum allowed limit {most}G.")
    for kind in ("gigabytes", f"gigabytes_{type_name}"):
        limit = allowed.get(kind, -1)
        if 0 <= limit < used.get(kind, 0) + gigabytes:
            raise over(
                f"Requested volume or snapshot exceeds allowed {kind} quota. Requested {gigabytes}G, "
                f"quota is {limit}G and {used.get(kind, 0)}G has been consumed."
            )
    for kind, count in more.items():
        for name in (kind, f"{kind}_{type_name}"):
            limit = allowed.get(name, -1)
            if 0 <= limit < used.get(name, 0) + count:
                where = f" for quota '{name}'." if kind == "volumes" else ""
                raise over(f"Maximum number of {kind} allowed ({limit}) exceeded{where}")


def over(words: str) -> ServiceError:
    return ServiceError(413, words)


def check_type(session: Session, project_id: str, type_name: str, gigabytes: int) -> None:
    """413 unless the project may have one more volume of this type; the volume itself exists already."""
    lock_project(session, project_id)
    allowed, used = limits(session, project_id), usage(session, project_id)
    for name, more in ((f"volumes_{type_name}", 1), (f"gigabytes_{type_name}", gigabytes)):
        if 0 <= allowed[name] < used[name] + more:
            raise over(f"Maximum number of volumes allowed ({allowed[name]}) exceeded for quota '{name}'.")
