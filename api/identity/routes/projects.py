"""/v3/projects: create, list, show, change, delete."""

from typing import Any

from fastapi import APIRouter
from sqlalchemy import Select, select
from sqlmodel import Session, col

from api.common.errors import ServiceError
from api.identity.access import Access, Here
from api.identity.endings import end_project
from api.identity.errors import Invalid, NotBuilt
from api.identity.listing import fetch
from api.identity.schemas.envelopes import ProjectChangeBody, ProjectCreateBody
from api.identity.schemas.resources import ProjectChange
from api.identity.unique import checked_options, ensure_free
from infra.tables.identity import Assignment, Domain, Project

router = APIRouter(prefix="/v3/projects")
FILTERS = {
    "name": Project.name,
    "enabled": Project.enabled,
    "domain_id": Project.domain_id,
    "parent_id": Project.parent_id,
}


def held_by(user_id: str) -> Select[Any]:
    """Ids of what the user has a role on: projects and domains."""
    return select(col(Assignment.target_id)).where(col(Assignment.user_id) == user_id)


def view(here: Access, project: Project) -> dict[str, Any]:
    return {
        **project.extra,
        "id": project.id,
        "name": project.name,
        "domain_id": project.domain_id,
        "parent_id": project.parent_id,
        "description": project.description,
        "enabled": project.enabled,
        "is_domain": False,
        "tags": project.tags,
        "options": {},
        "links": here.link("projects", project.id),
    }


def _apply(project: Project, change: ProjectChange) -> None:
    given = change.given()
    checked_options(given.get("options", {}))
    if given.get("is_domain"):
        raise NotBuilt("A project that acts as a domain")
    project.name = given.get("name", project.name)
    project.description = given.get("description", project.description) or ""
    if project.enabled and given.get("enabled") is False:
        project.epoch += 1
    project.enabled = given.get("enabled", project.enabled)
    project.tags = sorted(set(given.get("tags", project.tags)))
    project.extra = {**project.extra, **change.extras()}


def _place(session: Session, change: ProjectChange, caller_domain: str) -> tuple[str, str]:
    """(domain id, parent id) of a new project; both must exist and agree."""
    domain_id = change.domain_id or caller_domain
    parent_id = change.parent_id or domain_id
    parent = session.get(Project, parent_id)
    if parent is not None:
        if change.domain_id and parent.domain_id != change.domain_id:
            raise Invalid("Cannot create a project in another domain than its parent's.")
        return parent.domain_id, parent.id
    if change.domain_id and parent_id != domain_id:
        fetch(session, Project, "project", parent_id)
    return fetch(session, Domain, "domain", parent_id).id, parent_id


@router.post("", status_code=201)
def create_project(here: Here, body: ProjectCreateBody) -> dict[str, Any]:
    here.allow("create_project")
    with here.store.change() as session:
        domain_id, parent_id = _place(session, body.project, here.home_domain)
        project = Project(name=body.project.name, domain_id=domain_id, parent_id=parent_id)
        _apply(project, body.project)
        ensure_free(session, "project", project)
        session.add(project)
    return {"project": view(here, project)}


@router.get("")
def list_projects(here: Here) -> dict[str, Any]:
    """All for staff; for everybody else those on which they have a role."""
    query = select(Project)
    if not here.may("list_projects"):
        query = query.where(col(Project.id).in_(held_by(here.caller.user_id)))
    with here.store.read() as session:
        if here.request.query_params.get("is_domain", "").lower() == "true":
            return here.collection("projects", [])
        rows = here.rows(session, Project, query, FILTERS)
    return here.collection("projects", [view(here, row) for row in rows])


@router.get("/{project_id}")
def get_project(here: Here, project_id: str) -> dict[str, Any]:
    here.allow("get_project", project_id=project_id)
    with here.store.read() as session:
        return {"project": view(here, fetch(session, Project, "project", project_id))}


@router.patch("/{project_id}")
def update_project(here: Here, project_id: str, body: ProjectChangeBody) -> dict[str, Any]:
    here.allow("update_project")
    with here.store.change() as session:
        project = fetch(session, Project, "project", project_id)
        if (body.project.domain_id or project.domain_id) != project.domain_id:
            raise Invalid("Update of domain_id is not allowed.")
        if (body.project.parent_id or project.parent_id) != project.parent_id:
            raise ServiceError(403, "Update of parent_id is not allowed.")
        _apply(project, body.project)
        ensure_free(session, "project", project)
        session.add(project)
    return {"project": view(here, project)}


@router.delete("/{project_id}", status_code=204)
def delete_project(here: Here, project_id: str) -> None:
    here.allow("delete_project")
    with here.store.change() as session:
        project = fetch(session, Project, "project", project_id)
        if session.scalars(select(col(Project.id)).where(col(Project.parent_id) == project.id)).first():
            raise ServiceError(403, f"Cannot delete the project {project.id} since it is not a leaf in the hierarchy.")
        end_project(session, project)
