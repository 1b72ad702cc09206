"""First contents of a cloud's identity store, and the files with which people and services sign in."""

import json
import shlex

from sqlmodel import Session, select

from infra import credentials, logs
from infra.fernet_keys import FernetKeys
from infra.identity_store import IdentityStore
from infra.passwords import Passwords
from infra.settings import Settings
from infra.tables.identity import (
    Assignment,
    Domain,
    Endpoint,
    ImpliedRole,
    Project,
    Region,
    Role,
    Service,
    User,
)

log = logs.get(__name__)
DOMAIN = "default"
IMPLIED = {"admin": "member", "member": "reader"}
PEOPLE = {"admin": ("admin", "admin"), "demo": ("member", "demo")}
"""User: (role, project). Every other user of credentials.USERS has `service` on `service`."""
CATALOG = (
    ("identity", "keystone", "identity", "/v3"),
    ("compute", "nova", "compute", "/v2.1"),
    ("image", "glance", "image", ""),
    ("network", "neutron", "network", ""),
    ("block-storage", "cinder", "volume", "/v3"),
    ("volumev3", "cinderv3", "volume", "/v3"),
)
"""(service type, name, key of settings.PORTS, path). Old clients ask for `volumev3`, new ones for `block-storage`."""


def bootstrap(settings: Settings) -> None:
    """Make what a new cloud needs, bring an old one in line with `settings`; safe to run again at every start.

    Keeps what operators changed: a person's password, a role's description, endpoints of services that are not
    embedded. With an identity service of somebody else's there is nothing to do."""
    if "identity" not in settings.embedded:
        return
    new = set(credentials.USERS) - set(credentials.load(settings.state_dir))
    passwords = credentials.ensure(settings.state_dir)
    FernetKeys.of(settings.state_dir).ensure()
    store, hasher = IdentityStore(settings), Passwords()
    try:
        store.open()
        with store.change() as session:
            _domain_and_roles(session)
            for name in credentials.USERS:
                _user(session, name, passwords[name], hasher, reset=name in new or name not in PEOPLE)
            _catalog(session, settings)
    finally:
        store.close()
        hasher.close()
    for name, (_, project) in PEOPLE.items():
        file = settings.state_dir / f"{name}-openrc"
        credentials.write_private(file, openrc(settings, name, passwords[name], project))
    credentials.write_private(settings.state_dir / "clouds.yaml", clouds(settings, passwords))


def _domain_and_roles(session: Session) -> None:
    if session.get(Domain, DOMAIN) is None:
        session.add(Domain(id=DOMAIN, name="Default", description="The default domain"))
        session.flush()
    for name in ("admin", "demo", "service"):
        _project(session, name)
    roles = {name: _role(session, name) for name in ("admin", "member", "reader", "service")}
    for prior, implied in IMPLIED.items():
        key = (roles[prior], roles[implied])
        if session.get(ImpliedRole, key) is None:
            session.add(ImpliedRole(prior_role_id=key[0], implied_role_id=key[1]))
    session.flush()


def _project(session: Session, name: str) -> str:
    found = session.exec(select(Project).where(Project.domain_id == DOMAIN, Project.name == name)).first()
    if found is None:
        found = Project(name=name, domain_id=DOMAIN, parent_id=DOMAIN)
        session.add(found)
        session.flush()
    return found.id


def _role(session: Session, name: str) -> str:
    found = session.exec(select(Role).where(Role.name == name)).first()
    if found is None:
        found = Role(name=name)
        session.add(found)
        session.flush()
    return found.id


def _user(session: Session, name: str, password: str, hasher: Passwords, *, reset: bool) -> None:
    """The user with its one role. `reset`: the password of credentials.json wins over the stored one."""
    user = session.exec(select(User).where(User.domain_id == DOMAIN, User.name == name)).first()
    if user is None:
        options = {} if name == "demo" else {"ignore_lockout_failure_attempts": True}
        user = User(name=name, domain_id=DOMAIN, password_hash=hasher.hash(password), options=options)
        session.add(user)
        session.flush()
    elif not hasher.matches(password, user.password_hash):
        if reset:
            user.password_hash = hasher.hash(password)
            user.epoch += 1
        else:
            log.warning("password differs from credentials.json; the openrc file will not work", user=name)
    role, project = PEOPLE.get(name, ("service", "service"))
    role_id, project_id = _role(session, role), _project(session, project)
    if session.get(Assignment, (user.id, project_id, role_id)) is None:
        session.add(Assignment(user_id=user.id, target_id=project_id, role_id=role_id, target_kind="project"))
        session.flush()


def _catalog(session: Session, settings: Settings) -> None:
    if session.get(Region, settings.region) is None:
        session.add(Region(id=settings.region))
        session.flush()
    for kind, name, port, path in CATALOG:
        if port != "compute" and port not in settings.embedded:
            continue
        service = session.exec(select(Service).where(Service.type == kind)).first()
        if service is None:
            service = Service(type=kind, name=name)
            session.add(service)
            session.flush()
        for interface in ("public", "internal", "admin"):
            _endpoint(session, service.id, settings.region, interface, settings.url(port, path))


def _endpoint(session: Session, service_id: str, region: str, interface: str, url: str) -> None:
    wanted = select(Endpoint).where(
        Endpoint.service_id == service_id, Endpoint.region_id == region, Endpoint.interface == interface
    )
    found = session.exec(wanted).first()
    if found is None:
        session.add(Endpoint(service_id=service_id, region_id=region, interface=interface, url=url))
    else:
        found.url, found.enabled = url, True
        session.add(found)


def sign_in(settings: Settings, user: str, password: str, project: str) -> dict[str, str]:
    """The environment in which the OpenStack clients sign in as `user`."""
    return {
        "OS_AUTH_URL": settings.url("identity", "/v3"),
        "OS_USERNAME": user,
        "OS_PASSWORD": password,
        "OS_PROJECT_NAME": project,
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_REGION_NAME": settings.region,
        "OS_IDENTITY_API_VERSION": "3",
    }


def openrc(settings: Settings, user: str, password: str, project: str) -> str:
    """The same as shell lines, which also forget who else was signed in."""
    values = sign_in(settings, user, password, project)
    stale = "OS_CLOUD OS_TOKEN OS_AUTH_TYPE OS_PROJECT_ID OS_USER_ID OS_SYSTEM_SCOPE OS_DOMAIN_NAME"
    lines = [f"unset {stale} OS_APPLICATION_CREDENTIAL_ID OS_APPLICATION_CREDENTIAL_SECRET"]
    return "\n".join(lines + [f"export {name}={shlex.quote(value)}" for name, value in values.items()]) + "\n"


def clouds(settings: Settings, passwords: dict[str, str]) -> str:
    """clouds.yaml with `kilonova` (demo) and `kilonova-admin`; JSON strings are YAML strings."""
    text = "clouds:\n"
    for cloud, user in (("kilonova", "demo"), ("kilonova-admin", "admin")):
        auth = {
            "auth_url": settings.url("identity", "/v3"),
            "username": user,
            "password": passwords[user],
            "project_name": PEOPLE[user][1],
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }
        text += f"  {cloud}:\n    auth:\n"
        text += "".join(f"      {key}: {json.dumps(value)}\n" for key, value in auth.items())
        text += f"    region_name: {json.dumps(settings.region)}\n    identity_api_version: 3\n"
    return text
