"""`kilonova host …`: a compute host's credential is its own, is given once, and can be taken back."""

import json
import re
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.screen import out

if TYPE_CHECKING:
    from infra.host_users import HostUsers

app = typer.Typer(help="Give compute hosts their credentials, and take them back.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The host's name, as `openstack compute service list` shows it.")]
NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,250}")


@app.command()
def add(name: Name) -> None:
    """Make the host's user in Keystone, or give it a new password; its credential and payload keys go to files."""
    from infra.codec import KeyRing
    from infra.credentials import host_file, host_keys, host_user, set_revoked, write_private
    from infra.settings import Settings

    if not NAME.fullmatch(name):
        out.print("[red]Not a host's name.[/]")
        raise typer.Exit(2)
    settings = Settings()
    password = _users().add(name)
    file = host_file(settings.state_dir, name)
    write_private(file, json.dumps({"username": host_user(name), "password": password}, indent=1))
    set_revoked(settings.state_dir, name, False)
    keys = host_keys(settings.state_dir, name)
    KeyRing.load(settings.codec_keys)
    KeyRing.give(settings.codec_keys, name, keys)
    out.print(f"{host_user(name)} may act as host {name}. Copy {file} and {keys} to the same places there (mode 0600).")


@app.command()
def revoke(name: Name) -> None:
    """Delete the host's user: what it has signed in with is refused at once."""
    from infra.credentials import host_file, host_keys, set_revoked
    from infra.host_users import NoSuchHost
    from infra.settings import Settings

    settings = Settings()
    set_revoked(settings.state_dir, name, True)
    try:
        _users().revoke(name)
    except NoSuchHost as error:
        out.print(f"[red]Nothing to revoke:[/] {error}.")
        raise typer.Exit(1) from None
    for file in (host_file(settings.state_dir, name), host_keys(settings.state_dir, name)):
        file.unlink(missing_ok=True)
    out.print(f"Host {name} has no credential any more. Its guests go on; its builds move when it is given up.")


@app.command("list")
def names() -> None:
    """Hosts that have a credential."""
    for name in _users().names():
        print(name)


def _users() -> "HostUsers":
    """As the administrator of the environment (OS_*), else as the one that `up` made."""
    import os

    from keystoneauth1 import session
    from keystoneauth1.identity import v3

    from infra import credentials
    from infra.host_users import HostUsers
    from infra.settings import Settings

    settings = Settings()
    given = os.environ.get
    password = given("OS_PASSWORD") or credentials.load(settings.state_dir).get("admin", "")
    if not password:
        out.print("[red]Sign in as an administrator first:[/] source its openrc.")
        raise typer.Exit(1)
    auth = v3.Password(
        auth_url=given("OS_AUTH_URL") or settings.identity_url,
        username=given("OS_USERNAME") or "admin",
        password=password,
        project_name=given("OS_PROJECT_NAME") or "admin",
        user_domain_name=given("OS_USER_DOMAIN_NAME") or "Default",
        project_domain_name=given("OS_PROJECT_DOMAIN_NAME") or "Default",
    )
    return HostUsers(
        settings,
        session.Session(auth=auth, timeout=60, verify=given("OS_CACERT") or str(settings.trusted or "") or True),
    )
