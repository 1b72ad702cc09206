"""What ends tokens and grants: each removes what hangs on a thing and moves the epochs of those concerned."""

from sqlalchemy import delete, select, update
from sqlmodel import Session, col

from infra.tables.identity import ApplicationCredential, Assignment, Domain, Project, ScopeEpoch, User


def end_user_scope(session: Session, user_id: str, target_id: str) -> None:
    """The user lost a role on the target: its tokens and application credentials there end, as in Keystone."""
    epoch = session.get(ScopeEpoch, (user_id, target_id)) or ScopeEpoch(user_id=user_id, target_id=target_id)
    epoch.epoch += 1
    session.add(epoch)
    session.execute(
        delete(ApplicationCredential).where(
            col(ApplicationCredential.user_id) == user_id, col(ApplicationCredential.project_id) == target_id
        )
    )
    session.flush()


def end_role(session: Session, role_id: str) -> None:
    """The role is about to go: everybody who has it loses it."""
    for assignment in session.scalars(select(Assignment).where(col(Assignment.role_id) == role_id)).all():
        end_user_scope(session, assignment.user_id, assignment.target_id)
        session.delete(assignment)
    session.flush()


def end_user(session: Session, user: User) -> None:
    for table in (ApplicationCredential, Assignment, ScopeEpoch):
        session.execute(delete(table).where(col(table.user_id) == user.id))
    session.delete(user)
    session.flush()


def end_project(session: Session, project: Project) -> None:
    session.execute(delete(ApplicationCredential).where(col(ApplicationCredential.project_id) == project.id))
    _end_target(session, project.id)
    session.execute(update(User).where(col(User.default_project_id) == project.id).values(default_project_id=None))
    session.delete(project)
    session.flush()


def end_domain(session: Session, domain: Domain) -> None:
    for project in session.scalars(select(Project).where(col(Project.domain_id) == domain.id)).all():
        end_project(session, project)
    for user in session.scalars(select(User).where(col(User.domain_id) == domain.id)).all():
        end_user(session, user)
    _end_target(session, domain.id)
    session.delete(domain)
    session.flush()


def _end_target(session: Session, target_id: str) -> None:
    for table in (Assignment, ScopeEpoch):
        session.execute(delete(table).where(col(table.target_id) == target_id))
