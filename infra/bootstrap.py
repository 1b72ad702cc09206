"""What a cloud's embedded Keystone and Glance start from, and the files with which people and services sign in."""

import json
import shlex
from collections.abc import Sequence

from infra import credentials
from infra.embedded import glance_config, keystone_config
from infra.fernet_keys import FernetKeys
from infra.settings import Settings

PEOPLE = {"admin": ("admin", "admin"), "demo": ("member", "demo")}
"""User: (role, project). Every other user of credentials.USERS has `service` on `service`."""
CATALOG = (
    ("identity", "keystone", "identity", "/v3"),
    ("compute", "nova", "compute", "/v2.1"),
    ("placement", "placement", "placement", ""),
    ("image", "glance", "image", ""),
    ("network", "neutron", "network", ""),
    ("block-storage", "cinder", "volume", "/v3"),
    ("volumev3", "cinderv3", "volume", "/v3"),
)
"""(service type, name, key of settings.PORTS, path). Old clients ask for `volumev3`, new ones for `block-storage`."""
KEY_REPOSITORIES = ("fernet", "receipts", "credentials")


class FormerState(Exception):
    """The state directory holds users and images of the identity and image services that Kilonova once had."""


def bootstrap(settings: Settings, hosts: Sequence[str] = ()) -> None:
    """Write what embedded Keystone and Glance read when they start, and everybody's sign-in files. `hosts`: compute
    hosts of this machine, each of them a user.

    May be repeated. Keystone keeps what operators changed: a person's password, a role's description, endpoints of
    services that are not embedded (infra.embedded.bootstrap). Raises FormerState."""
    if "image" in settings.embedded:
        _refuse_former(settings, "image", "glance")
    if "identity" in settings.embedded:
        _refuse_former(settings, "identity", "keystone")
        names = (*credentials.USERS, *map(credentials.host_user, hosts))
        new = set(names) - set(credentials.load(settings.state_dir))
        passwords = credentials.ensure(settings.state_dir, hosts)
        for name in KEY_REPOSITORIES:
            FernetKeys(settings.state_dir / "keys" / name).ensure()
        keystone_config.write(settings)
        wanted = {"region": settings.region, "users": _users(names, passwords, new), "catalog": _catalog(settings)}
        file = keystone_config.folder(settings) / "bootstrap.json"
        credentials.write_private(file, json.dumps(wanted, indent=1))
        _sign_in_files(settings, passwords)
    if "image" in settings.embedded:
        glance_config.write(settings)


def _refuse_former(settings: Settings, former: str, present: str) -> None:
    stores = settings.state_dir / "db"
    if (stores / f"{former}.sqlite").exists() and not (stores / f"{present}.sqlite").exists():
        raise FormerState(
            f"{stores / former}.sqlite is the store of Kilonova's former {former} service, which {present.title()} "
            "has replaced. Start with another KILONOVA_STATE_DIR, or remove this one."
        )


def _users(names: Sequence[str], passwords: dict[str, str], new: set[str]) -> list[dict[str, object]]:
    """A person's changed password is kept unless ours was made just now; the service users' is always ours."""
    users = []
    for name in names:
        usual = "service" if name in credentials.USERS else credentials.HOST_ROLE
        role, project = PEOPLE.get(name, (usual, "service"))
        user: dict[str, object] = {"name": name, "password": passwords[name], "role": role, "project": project}
        user |= {"reset_password": name in new or name not in PEOPLE, "may_be_locked": name == "demo"}
        users.append(user)
    return users


def _catalog(settings: Settings) -> list[dict[str, str]]:
    return [
        {"type": kind, "name": name, "url": settings.url(port, path)}
        for kind, name, port, path in CATALOG
        if port in ("compute", "placement") or port in settings.embedded
    ]


def _sign_in_files(settings: Settings, passwords: dict[str, str]) -> None:
    for name, (_, project) in PEOPLE.items():
        file = settings.state_dir / f"{name}-openrc"
        credentials.write_private(file, openrc(settings, name, passwords[name], project))
    credentials.write_private(settings.state_dir / "clouds.yaml", clouds(settings, passwords))


def sign_in(settings: Settings, user: str, password: str, project: str) -> dict[str, str]:
    """The environment in which the OpenStack clients sign in as `user`."""
    trusted = {"OS_CACERT": str(settings.trusted)} if settings.trusted else {}
    return trusted | {
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
    stale = "OS_CLOUD OS_TOKEN OS_AUTH_TYPE OS_PROJECT_ID OS_USER_ID OS_SYSTEM_SCOPE OS_DOMAIN_NAME OS_CACERT"
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
        text += f"    cacert: {json.dumps(str(settings.trusted))}\n" if settings.trusted else ""
        text += f"    region_name: {json.dumps(settings.region)}\n    identity_api_version: 3\n"
    return text
