"""Bootstrap: what it makes, that it can be repeated, and what it leaves alone."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
import yaml
from sqlmodel import Session, select

from infra import credentials
from infra.bootstrap import bootstrap
from infra.fernet_keys import FernetKeys
from infra.identity_store import IdentityStore
from infra.passwords import Passwords
from infra.settings import Settings
from infra.tables.identity import Assignment, Endpoint, Project, Role, Service, User, metadata


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILONOVA_DATABASE_URL", "")


def contents(settings: Settings) -> dict[str, list[tuple[object, ...]]]:
    store = IdentityStore(settings)
    with store.read() as session:
        found = {
            table.name: sorted(map(tuple, session.execute(table.select())), key=str) for table in metadata.sorted_tables
        }
    store.close()
    found.pop("revisions")
    return found


def endpoints(session: Session, kind: str) -> dict[str, str]:
    query = select(Endpoint).join(Service).where(Service.type == kind)
    return {row.interface: row.url for row in session.exec(query)}


def test_twice_is_once(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    bootstrap(settings)
    first, files = contents(settings), {p.name: p.read_bytes() for p in tmp_path.glob("*") if p.is_file()}
    bootstrap(settings)
    assert contents(settings) == first
    assert {p.name: p.read_bytes() for p in tmp_path.glob("*") if p.is_file()} == files


def test_people_services_and_their_roles(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    bootstrap(settings)
    store = IdentityStore(settings)
    with store.read() as session:
        query = (
            select(User.name, Role.name, Project.name)
            .join(Assignment, Assignment.user_id == User.id)  # type: ignore[arg-type]
            .join(Role, Role.id == Assignment.role_id)  # type: ignore[arg-type]
            .join(Project, Project.id == Assignment.target_id)  # type: ignore[arg-type]
        )
        given = set(session.exec(query))
    store.close()
    services = {(name, "service", "service") for name in ("nova", "compute", "glance", "neutron", "cinder")}
    assert given == {("admin", "admin", "admin"), ("demo", "member", "demo"), *services}


def test_secrets_are_private_and_openrc_is_shell(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, region='Region\'s "own"')
    bootstrap(settings)
    private = ("admin-openrc", "demo-openrc", "clouds.yaml", "credentials.json", "db/identity.sqlite", "keys/fernet/0")
    for name in private:
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name
    script = f". {tmp_path}/demo-openrc && env -0"
    shown = subprocess.run(
        ["sh", "-c", script], capture_output=True, check=True, env={"OS_CLOUD": "other", **os.environ}
    )
    exported = dict(line.split("=", 1) for line in shown.stdout.decode().split("\0") if line.startswith("OS_"))
    assert exported == {
        "OS_AUTH_URL": settings.url("identity", "/v3"),
        "OS_USERNAME": "demo",
        "OS_PASSWORD": credentials.load(tmp_path)["demo"],
        "OS_PROJECT_NAME": "demo",
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_REGION_NAME": settings.region,
        "OS_IDENTITY_API_VERSION": "3",
    }
    clouds = yaml.safe_load((tmp_path / "clouds.yaml").read_text())["clouds"]
    assert set(clouds) == {"kilonova", "kilonova-admin"}
    assert clouds["kilonova"]["auth"]["username"] == "demo"
    assert clouds["kilonova-admin"]["region_name"] == settings.region


def test_moved_urls_are_followed_and_foreign_services_left_alone(tmp_path: Path) -> None:
    bootstrap(Settings(state_dir=tmp_path))
    moved = Settings(
        state_dir=tmp_path, port_offset=100, advertise="cloud.example.org", embedded=["identity", "network"]
    )
    store = IdentityStore(moved)
    with store.change() as session:
        image = session.exec(select(Endpoint).join(Service).where(Service.type == "image")).all()
        for row in image:
            row.url = "https://glance.example.org"
            session.add(row)
    bootstrap(moved)
    with store.read() as session:
        assert set(endpoints(session, "image").values()) == {"https://glance.example.org"}
        assert endpoints(session, "compute")["public"] == "http://cloud.example.org:8874/v2.1"
        assert endpoints(session, "network")["admin"] == "http://cloud.example.org:9796"
        assert endpoints(session, "volumev3")["public"] == "http://127.0.0.1:8776/v3"
    store.close()


def test_with_a_foreign_identity_nothing_is_made(tmp_path: Path) -> None:
    bootstrap(Settings(state_dir=tmp_path, embedded=["image"], auth_url="https://keystone.example.org/v3"))
    assert list(tmp_path.iterdir()) == []


def test_a_changed_password_of_a_person_stays_and_a_services_is_restored(tmp_path: Path) -> None:
    settings, hasher = Settings(state_dir=tmp_path), Passwords()
    bootstrap(settings)
    store = IdentityStore(settings)

    def password_is(name: str, password: str) -> bool:
        with store.read() as session:
            return hasher.matches(password, session.exec(select(User).where(User.name == name)).one().password_hash)

    with store.change() as session:
        for user in session.exec(select(User)).all():
            user.password_hash = hasher.hash("changed")
            session.add(user)
    bootstrap(settings)
    known = credentials.load(tmp_path)
    assert password_is("admin", "changed") and password_is("demo", "changed")
    assert password_is("nova", known["nova"])
    credentials.path(tmp_path).unlink()  # lost: made anew, so that the operator gets in again
    bootstrap(settings)
    assert password_is("admin", credentials.load(tmp_path)["admin"])
    store.close()
    hasher.close()


def test_the_key_repository_keeps_its_order(tmp_path: Path) -> None:
    keys = FernetKeys(tmp_path / "fernet")
    keys.ensure()
    staged = (tmp_path / "fernet/0").read_text()
    keys.ensure()
    assert (tmp_path / "fernet/0").read_text() == staged
    keys.rotate(3)
    assert (tmp_path / "fernet/2").read_text() == staged
    for _ in range(5):
        keys.rotate(3)
    assert sorted(p.name for p in (tmp_path / "fernet").iterdir() if p.name.isdigit()) == ["0", "6", "7"]
