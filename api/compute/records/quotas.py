"""Limits of projects, and what counts against them."""

from sqlalchemy import bindparam, delete, select
from sqlmodel import Session

from infra.tables.compute import Quota

DEFAULTS = {
    "instances": 10,
    "cores": 20,
    "ram": 51200,
    "metadata_items": 128,
    "injected_files": 5,
    "injected_file_content_bytes": 10240,
    "injected_file_path_bytes": 255,
    "key_pairs": 100,
    "server_groups": 10,
    "server_group_members": 10,
    "fixed_ips": -1,
    "floating_ips": -1,
    "security_groups": -1,
    "security_group_rules": -1,
}
"""Nova's defaults; -1 is unlimited. `ram` is in MiB."""
NETWORK = ("fixed_ips", "floating_ips", "security_groups", "security_group_rules")
GROUPS = ("server_groups", "server_group_members")
FILES = ("injected_files", "injected_file_content_bytes", "injected_file_path_bytes")
quotas = Quota.__table__  # type: ignore[attr-defined]


DEFAULT_CLASS = "class:default"
"""In place of a project's id: what an administrator set for all projects. No project has a colon in its id."""


SET = select(quotas.c.project_id, quotas.c.resource, quotas.c.hard_limit).where(
    (quotas.c.project_id == DEFAULT_CLASS) | (quotas.c.project_id == bindparam("project"))
)


def limits(session: Session, project_id: str) -> dict[str, int]:
    found = session.execute(SET, {"project": project_id}).all()
    of_all = {row.resource: row.hard_limit for row in found if row.project_id == DEFAULT_CLASS}
    own = {row.resource: row.hard_limit for row in found if row.project_id == project_id}
    return DEFAULTS | of_all | own


def defaults(session: Session) -> dict[str, int]:
    """Limits of a project for which nothing was set."""
    return limits(session, DEFAULT_CLASS)


def shown(minor: int) -> list[str]:
    """Resources that the microversion shows: the network's until 2.35, injected files until 2.56."""
    hidden = (*(NETWORK if minor >= 36 else ()), *(FILES if minor >= 57 else ()))
    return [resource for resource in DEFAULTS if resource not in hidden]


def shown_of_class(minor: int) -> list[str]:
    """As `shown`; the network's are there until 2.49, and server groups from 2.50 on."""
    hidden = (*(NETWORK if minor >= 50 else GROUPS), *(FILES if minor >= 57 else ()))
    return [resource for resource in DEFAULTS if resource not in hidden]


def store(session: Session, project_id: str, values: dict[str, int]) -> None:
    for resource, limit in values.items():
        session.merge(Quota(project_id=project_id, resource=resource, hard_limit=limit))


def reset(session: Session, project_id: str) -> None:
    session.execute(delete(quotas).where(quotas.c.project_id == project_id))
