"""Rows of flavors, their access lists and extra specs."""

from typing import Any

from sqlalchemy import ColumnElement, Row, bindparam, delete, exists, or_, select, update
from sqlmodel import Session

from api.compute.call import ComputeCall
from api.compute.errors import conflict, not_found
from infra.contracts.hypervisor import FlavorFacts
from infra.tables.compute import Flavor, FlavorAccess

AnyFlavor = Flavor | FlavorFacts | Row[Any]
"""One to be read, wherever it comes from."""
flavors = Flavor.__table__  # type: ignore[attr-defined]
access = FlavorAccess.__table__  # type: ignore[attr-defined]
SORTABLE = {
    "flavorid": "id", "id": "created_at", "created_at": "created_at", "updated_at": "created_at",
    "description": "description", "disabled": "disabled", "ephemeral_gb": "ephemeral", "is_public": "is_public",
    "memory_mb": "ram", "name": "name", "root_gb": "disk", "rxtx_factor": "rxtx_factor", "swap": "swap",
    "vcpu_weight": "created_at", "vcpus": "vcpus",
}  # fmt: skip

FLAVOR = select(Flavor).where(flavors.c.id == bindparam("flavor"))
ROW = select(flavors).where(flavors.c.id == bindparam("flavor"))
GRANTED = exists().where(access.c.flavor_id == flavors.c.id, access.c.project_id == bindparam("project"))
OF_PROJECT = or_(flavors.c.is_public.is_(True), GRANTED)
FLAVOR_OF_PROJECT, ROW_OF_PROJECT = FLAVOR.where(OF_PROJECT), ROW.where(OF_PROJECT)


def unknown(flavor_id: str) -> Exception:
    return not_found(f"Flavor {flavor_id[:255]} could not be found.")


def visible(call: ComputeCall) -> ColumnElement[bool]:
    """Flavors that the caller may use: public ones, and those its project has access to; an admin: all."""
    if call.context.is_admin:
        return flavors.c.id.is_not(None)  # type: ignore[no-any-return]
    granted = exists().where(access.c.flavor_id == flavors.c.id, access.c.project_id == call.context.project_id)
    return or_(flavors.c.is_public.is_(True), granted)


def find(session: Session, call: ComputeCall, flavor_id: str) -> Flavor:
    """404 in Nova's words for one that is not there, or not for the caller."""
    which = FLAVOR if call.context.is_admin else FLAVOR_OF_PROJECT
    found = session.scalars(which, {"flavor": flavor_id, "project": call.context.project_id}).one_or_none()
    if found is None:
        raise unknown(flavor_id)
    return found


def row(session: Session, call: ComputeCall, flavor_id: str) -> Row[Any]:
    """As `find`, to be read only: without the ORM, which takes three times as long."""
    which = ROW if call.context.is_admin else ROW_OF_PROJECT
    found = session.execute(which, {"flavor": flavor_id, "project": call.context.project_id}).one_or_none()
    if found is None:
        raise unknown(flavor_id)
    return found


def listed(session: Session, clauses: list[ColumnElement[bool]], sort_key: str, *, descending: bool) -> list[Flavor]:
    column = flavors.c[SORTABLE[sort_key]]
    order = (column.desc(), flavors.c.id.desc()) if descending else (column.asc(), flavors.c.id.asc())
    return list(session.scalars(select(Flavor).where(*clauses).order_by(*order)))


def create(session: Session, flavor: Flavor) -> None:
    """409 when the name or the id is taken."""
    taken = session.scalars(select(Flavor).where(or_(flavors.c.id == flavor.id, flavors.c.name == flavor.name))).all()
    if any(each.id == flavor.id for each in taken):
        raise conflict(f"Flavor with ID {flavor.id} already exists.")
    if taken:
        raise conflict(f"Flavor with name {flavor.name} already exists.")
    session.add(flavor)


def remove(session: Session, flavor_id: str) -> None:
    session.execute(delete(access).where(access.c.flavor_id == flavor_id))
    if not session.execute(delete(flavors).where(flavors.c.id == flavor_id)).rowcount:  # type: ignore[attr-defined]
        raise unknown(flavor_id)


def change(session: Session, flavor_id: str, **values: Any) -> None:
    session.execute(update(flavors).where(flavors.c.id == flavor_id).values(**values))


def projects(session: Session, flavor_id: str) -> list[str]:
    return list(
        session.scalars(
            select(access.c.project_id).where(access.c.flavor_id == flavor_id).order_by(access.c.project_id)
        )
    )


def grant(session: Session, flavor_id: str, project_id: str) -> None:
    if session.get(FlavorAccess, (flavor_id, project_id)):
        raise conflict(f"Flavor access already exists for flavor {flavor_id} and project {project_id} combination.")
    session.add(FlavorAccess(flavor_id=flavor_id, project_id=project_id))


def revoke(session: Session, flavor_id: str, project_id: str) -> None:
    found = session.get(FlavorAccess, (flavor_id, project_id))
    if found is None:
        raise not_found(f"Flavor access not found for {flavor_id} / {project_id} combination.")
    session.delete(found)
