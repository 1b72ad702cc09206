"""A Keystone and a Glance of their own: first start, later ones, changed settings, kill -9 in the middle of writes."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from infra import credentials
from infra.bootstrap import FormerState, bootstrap
from infra.settings import Settings
from infra.tls import Authority
from tests.embedded.people import Api, person
from tests.openstack import OpenStack
from tests.ports import free_offset
from tests.postgres import postgres

Json = dict[str, Any]
AWAY_S = 0.05
"""After so long a writer tries again what is away: to try at once takes the processor from what starts."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenStack]:
    found = OpenStack(tmp_path_factory.mktemp("own"))
    try:
        found.start("identity", "image", program=True)
        yield found
    finally:
        found.stop()


def contents(openstack: OpenStack) -> Json:
    """Everything that the first start makes, as Keystone's API shows it."""
    api = Api(openstack, openstack.token("admin"))
    kinds = ("users", "projects", "roles", "services", "endpoints", "regions", "role_assignments", "role_inferences")
    return {kind: api.ok("GET", f"/{kind}") for kind in kinds}


def restart(openstack: OpenStack, *services: str) -> None:
    for service in services:
        openstack.kill(service)
    openstack.start(*services)


def sound(openstack: OpenStack, name: str) -> bool:
    with sqlite3.connect(openstack.settings.state_dir / "db" / f"{name}.sqlite") as store:
        return bool(store.execute("PRAGMA integrity_check").fetchone() == ("ok",))


def test_people_services_and_their_roles(own: OpenStack) -> None:
    api = Api(own, own.token("admin"))
    listed = api.ok("GET", "/role_assignments?include_names=true")["role_assignments"]
    given = {
        (each["user"]["name"], each["role"]["name"], each["scope"].get("project", {}).get("name", "system"))
        for each in listed
        if not each["user"]["name"].startswith("host-")  # of other tests' hosts, which join this Keystone
    }
    services = {(name, "service", "service") for name in ("nova", "glance", "neutron", "cinder")}
    people = {("admin", "admin", "admin"), ("admin", "admin", "system"), ("demo", "member", "demo")}
    assert given == people | services
    roles = {role["name"] for role in api.ok("GET", "/roles")["roles"]}
    assert roles - {"kilonova-host"} == {"admin", "manager", "member", "reader", "service"}


def test_secrets_are_private_and_in_no_command_line_or_log(own: OpenStack) -> None:
    state = own.settings.state_dir
    for name in ("admin-openrc", "demo-openrc", "clouds.yaml", "credentials.json", "keystone/keystone.conf",
                 "keystone/bootstrap.json", "glance/glance-api.conf", "db/keystone.sqlite", "db/glance.sqlite",
                 "keys/fernet/0", "keys/credentials/0"):  # fmt: skip
        assert stat.S_IMODE((state / name).stat().st_mode) == 0o600, name
    passwords = credentials.load(state).values()
    told = "".join(file.read_text() for file in own.settings.log_dir.glob("*.log"))
    for process in own.processes.values():
        told += " ".join(psutil.Process(process.pid).cmdline())
    assert not [password for password in passwords if password in told]


def test_later_starts_change_nothing(own: OpenStack) -> None:
    before = contents(own)
    bootstrap(own.settings)
    restart(own, "identity")
    after = contents(own)
    assert after == before


def test_a_changed_password_of_a_person_stays_and_a_services_is_restored(own: OpenStack) -> None:
    state, api = own.settings.state_dir, Api(own, own.token("admin"))
    for name in ("demo", "nova"):
        user = api.ok("GET", f"/users?name={name}")["users"][0]["id"]
        api.ok("PATCH", f"/users/{user}", {"user": {"password": "changed-1234"}})
    (state / "keystone" / "bootstrapped").unlink()  # passwords are looked at once for each list of users
    restart(own, "identity")
    assert signed_in(own, "demo", "changed-1234") and not signed_in(own, "demo", credentials.load(state)["demo"])
    assert own.token("nova")
    credentials.path(state).unlink()  # lost: made anew, so that the operator gets in again
    bootstrap(own.settings)
    restart(own, "identity", "image")
    assert own.token("admin") and own.token("demo")


def signed_in(openstack: OpenStack, name: str, password: str) -> bool:
    user = {"name": name, "password": password, "domain": {"id": "default"}}
    auth = {"identity": {"methods": ["password"], "password": {"user": user}}}
    url = f"{openstack.settings.identity_url}/auth/tokens"
    return httpx.post(url, json={"auth": auth}, timeout=60).status_code == 201


def test_moved_services_are_followed_and_foreign_ones_left_alone(own: OpenStack) -> None:
    with own.image_at("https://glance.example.org"):
        moved = own.settings.model_copy(update={"advertise": "cloud.example.org", "embedded": ["identity", "network"]})
        bootstrap(moved)
        restart(own, "identity")
        endpoints = Api(own, own.token("admin")).ok("GET", "/endpoints")["endpoints"]
        urls = {each["url"] for each in endpoints}
        assert "https://glance.example.org" in urls and moved.url("compute", "/v2.1") in urls
        assert moved.url("network") in urls and own.settings.url("compute", "/v2.1") not in urls
        assert (
            own.settings.url("volume", "/v3") in urls
        )  # not embedded in `moved`: whose it is, only the operator knows
    bootstrap(own.settings)
    restart(own, "identity")


def test_a_catalog_that_an_operator_changed_stays(own: OpenStack) -> None:
    """A public address behind a proxy, an endpoint that is switched off, and a service that he took away."""
    admin = Api(own, own.token("admin"))

    def endpoints(kind: str) -> dict[str, Any]:
        service = admin.ok("GET", f"/services?type={kind}")["services"][0]["id"]
        found = admin.ok("GET", f"/endpoints?service_id={service}")["endpoints"]
        return {each["interface"]: each for each in found}

    public = "https://cloud.example.org/compute/v2.1"
    compute, volume = endpoints("compute"), endpoints("volumev3")
    admin.ok("PATCH", f"/endpoints/{compute['public']['id']}", {"endpoint": {"url": public}})
    admin.ok("PATCH", f"/endpoints/{compute['admin']['id']}", {"endpoint": {"enabled": False}})
    admin.ok("DELETE", f"/services/{volume['public']['service_id']}")
    moved = own.settings.model_copy(update={"advertise": "cloud.example.org"})
    bootstrap(moved)
    restart(own, "identity")
    admin = Api(own, own.token("admin"))
    assert endpoints("compute")["public"]["url"] == public
    assert not endpoints("compute")["admin"]["enabled"]
    assert endpoints("compute")["internal"]["url"] == moved.url("compute", "/v2.1")  # which was ours: it follows
    assert admin.ok("GET", "/services?type=volumev3")["services"] == []
    file = own.settings.state_dir / "keystone" / "bootstrapped"
    known = json.loads(file.read_text())
    known["catalog"] = {kind: url for kind, url in known["catalog"].items() if kind not in ("compute", "volumev3")}
    file.write_text(json.dumps(known))  # what he took away is made again, for the tests that follow
    for each in endpoints("compute").values():
        admin.ok("DELETE", f"/endpoints/{each['id']}")
    bootstrap(own.settings)
    restart(own, "identity")


def test_keystone_killed_while_it_writes_loses_nothing_it_confirmed(own: OpenStack) -> None:
    api, confirmed, ending = Api(own, own.token("admin")), list[str](), threading.Event()

    def write() -> None:
        while not ending.is_set():
            name = f"k-{uuid.uuid4().hex[:12]}"
            try:
                made = api("POST", "/projects", {"project": {"name": name, "domain_id": "default"}})
                if made.status_code == 201:
                    confirmed.append(name)
            except httpx.HTTPError:
                ending.wait(AWAY_S)

    writers = [threading.Thread(target=write) for _ in range(6)]
    for writer in writers:
        writer.start()
    for _ in range(3):
        time.sleep(0.7)
        restart(own, "identity")
    ending.set()
    for writer in writers:
        writer.join()
    assert sound(own, "keystone") and len(confirmed) > 3  # on a busy machine as well
    there = {each["name"] for each in Api(own, own.token("admin")).ok("GET", "/projects")["projects"]}
    assert set(confirmed) <= there


def test_glance_killed_while_it_takes_images_serves_whole_ones_only(own: OpenStack) -> None:
    who = person(own)
    api, data, ending = who.sign_in(), os.urandom(4 << 20), threading.Event()

    def write() -> None:
        while not ending.is_set():
            try:
                api.image(data)
            except (httpx.HTTPError, AssertionError):
                ending.wait(AWAY_S)

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for _ in range(3):
        time.sleep(0.7)
        restart(own, "image")
    ending.set()
    for writer in writers:
        writer.join()
    assert sound(own, "glance")
    images = api.ok("GET", "/v2/images?limit=1000", None, "image")["images"]
    active = [image for image in images if image["status"] == "active"]
    assert active
    for image in active:
        assert api.ok("GET", f"/v2/images/{image['id']}/file", None, "image").content == data
    for image in images:  # none is stuck
        api.ok("DELETE", f"/v2/images/{image['id']}", None, "image")


def test_the_first_start_killed_at_any_time_is_made_good_by_the_next(tmp_path: Path) -> None:
    openstack = OpenStack(tmp_path)
    try:
        for after_s in (1.5, 2.5, 3.5):
            with suppress(AssertionError):
                start = partial(openstack.start, "identity", "image", program=True)
                starting = threading.Thread(target=start, daemon=True)
                starting.start()
                time.sleep(after_s)
                for process in list(openstack.processes.values()):
                    process.kill()
                    process.wait()
                starting.join(5)
                openstack.processes.clear()
        openstack.start("identity", "image")
        assert Api(openstack, openstack.token("demo")).ok("GET", "/v2/images", None, "image")["images"] == []
        assert sound(openstack, "keystone") and sound(openstack, "glance")
    finally:
        openstack.stop()


def test_limits_of_size_and_of_a_projects_images(tmp_path: Path) -> None:
    openstack = OpenStack(tmp_path, image_max_gib=1, image_quota_gib=1)
    conf = tmp_path / "glance" / "glance-api.conf"
    conf.write_text(conf.read_text().replace("= 1073741824", "= 1048576").replace("= 1GB", "= 3MB"))
    try:
        openstack.start("identity", "image")
        api = person(openstack).sign_in()
        large = api.image()
        assert api.upload(large, bytes((1 << 20) + 1)).status_code == 413
        assert api.show(large)["status"] != "active"
        first = [api.image(bytes(1 << 20)) for _ in range(3)]
        over = api.image()
        assert api.upload(over, bytes(1 << 20)).status_code == 413
        api.ok("DELETE", f"/v2/images/{first[0]['id']}", None, "image")
        assert api.upload(api.image(), bytes(1 << 19)).status_code == 204
    finally:
        openstack.stop()


def test_on_postgresql_by_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path / "authority")
    with postgres(5432 + free_offset(), authority.ensure("database", ["127.0.0.1"])) as server:
        verified = f"?sslmode=verify-full&sslrootcert={authority.certificate}"
        monkeypatch.setenv("KILONOVA_DATABASE_URL", server.databases() + verified)
        openstack = OpenStack(tmp_path)
        try:
            openstack.start("identity", "image")
            api = person(openstack).sign_in()
            assert api.image(b"data")["status"] == "active"
            restart(openstack, "identity", "image")
            assert api.works()
            assert not list(tmp_path.rglob("*.sqlite"))
        finally:
            openstack.stop()


def test_a_former_state_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "identity.sqlite").touch()
    with pytest.raises(FormerState, match="former identity service"):
        bootstrap(Settings(state_dir=tmp_path))
    assert not (tmp_path / "credentials.json").exists()


def test_with_a_foreign_keystone_only_glance_is_prepared(tmp_path: Path) -> None:
    bootstrap(Settings(state_dir=tmp_path, embedded=["network"], auth_url="https://keystone.example.org/v3"))
    assert list(tmp_path.iterdir()) == []
    bootstrap(Settings(state_dir=tmp_path, embedded=["image"], auth_url="https://keystone.example.org/v3"))
    assert "https://keystone.example.org/v3" in (tmp_path / "glance" / "glance-api.conf").read_text()
    assert not (tmp_path / "keystone").exists()


def test_openrc_is_shell(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, region='Region\'s "own"')
    bootstrap(settings)
    env = {"OS_CLOUD": "other", **os.environ}
    shown = subprocess.run(
        ["sh", "-c", f". {tmp_path}/demo-openrc && env -0"], capture_output=True, check=True, env=env
    )
    exported = dict(line.split("=", 1) for line in shown.stdout.decode().split("\0") if line.startswith("OS_"))
    assert exported["OS_REGION_NAME"] == settings.region and "OS_CLOUD" not in exported
    assert exported["OS_PASSWORD"] == credentials.load(tmp_path)["demo"]


def kilonova(state_dir: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "KILONOVA_STATE_DIR": str(state_dir), "KILONOVA_PORT_OFFSET": str(free_offset())}
    command = [str(Path(sys.executable).with_name("kilonova")), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_they_are_served_one_a_process(tmp_path: Path) -> None:
    done = kilonova(tmp_path, "api", "--service", "identity", "--service", "image")
    assert done.returncode == 1 and "need a process each" in done.stderr


def test_up_refuses_a_former_state_directory_in_words(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "image.sqlite").touch()
    done = kilonova(tmp_path, "up", "--driver", "test", "--no-image")
    assert done.returncode == 1
    assert "former image service, which Glance has replaced" in " ".join(done.stdout.split())
