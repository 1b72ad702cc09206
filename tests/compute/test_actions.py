"""Server actions, consoles, and the list of what was done."""

import hashlib
import os
import subprocess
import sys
import uuid
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import update
from sqlmodel import col, select

from api.compute.records import consoles
from api.compute.schemas.actions import NOT_BUILT
from infra.contracts.step import DEADLINE
from infra.tables.compute import ActionEvent, Allocation, ConsoleToken, Instance, InstanceAction, MigrationRecord, now
from tests.compute.conftest import Api, Cloud


def act(user: Api, server: str, name: str, body: object = None, status: int = 202, version: str = "2.96") -> object:
    return user.post(f"/servers/{server}/action", {name: body}, status, version)


def test_lock_and_unlock(cloud: Cloud, admin: Api, demo: Api) -> None:
    server = cloud.server(demo)
    act(demo, server, "lock", {"locked_reason": "mine"})
    shown = demo.get(f"/servers/{server}")["server"]
    assert (shown["locked"], shown["locked_reason"]) == (True, "mine")
    assert demo.refused("DELETE", f"/servers/{server}", 409) == f"Instance {server} is locked"
    act(demo, server, "unlock")
    assert demo.get(f"/servers/{server}")["server"]["locked"] is False
    actions = demo.get(f"/servers/{server}/os-instance-actions")["instanceActions"]
    assert {action["action"] for action in actions} == {"lock", "unlock"}
    act(admin, server, "lock")
    demo.refused("POST", f"/servers/{server}/action", 403, json={"unlock": None})
    act(admin, server, "unlock")
    act(demo, server, "lock", {"locked_reason": "ignored before 2.73"}, version="2.72")
    assert cloud.row(server).locked_reason is None
    admin.delete(f"/servers/{server}")


def test_the_owner_does_not_take_an_admins_lock_over(cloud: Cloud, admin: Api, demo: Api) -> None:
    server = cloud.server(demo)
    act(admin, server, "lock", {"locked_reason": "under inspection"})
    act(demo, server, "lock", {"locked_reason": "mine"})
    demo.refused("POST", f"/servers/{server}/action", 403, json={"unlock": None})
    shown = demo.get(f"/servers/{server}")["server"]
    assert (shown["locked"], shown["locked_reason"]) == (True, "under inspection")
    act(admin, server, "lock")
    assert cloud.row(server).locked_reason == "under inspection"
    act(admin, server, "unlock")
    act(demo, server, "lock", {"locked_reason": "mine"})
    act(admin, server, "lock", {"locked_reason": "ours"})
    assert (cloud.row(server).locked_by, cloud.row(server).locked_reason) == ("admin", "ours")


def test_reset_state(cloud: Cloud, admin: Api, demo: Api) -> None:
    server = cloud.server(demo)
    demo.refused("POST", f"/servers/{server}/action", 403, json={"os-resetState": {"state": "error"}})
    act(admin, server, "os-resetState", {"state": "error"})
    assert demo.get(f"/servers/{server}")["server"]["status"] == "ERROR"
    admin.refused("POST", f"/servers/{server}/action", 400, json={"os-resetState": {"state": "building"}})
    gone = cloud.server(demo, task_state="deleting")
    admin.refused("POST", f"/servers/{gone}/action", 409, json={"os-resetState": {"state": "active"}})
    busy = cloud.server(demo, task_state="suspending")
    act(admin, busy, "os-resetState", {"state": "error"})
    assert cloud.ledger.decisions[-1] == (busy, "give up for a reset of the server's state")
    assert (cloud.row(busy).vm_state, cloud.row(busy).task_state) == ("error", None)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("resize", {"flavorRef": "no-such-flavor"}),
        ("rebuild", {"imageRef": str(uuid.uuid4())}),
        ("rescue", {"rescue_image_ref": str(uuid.uuid4())}),
        ("createBackup", {"name": "copy", "backup_type": "daily", "rotation": 1}),
    ],
)
def test_where_a_server_stands_is_told_before_what_else_is_wrong(
    cloud: Cloud, demo: Api, name: str, body: dict[str, object]
) -> None:
    for vm_state, status in (("shelved_offloaded", 409), ("active", 400)):
        server = cloud.server(demo, vm_state=vm_state, host=None if status == 409 else "node1")
        words = demo.refused("POST", f"/servers/{server}/action", status, json={name: body})
        assert (words == f"Cannot '{name}' instance {server} while it is in vm_state {vm_state}") is (status == 409)


def test_where_a_server_stands_is_told_before_what_it_is_to_get(cloud: Cloud, demo: Api) -> None:
    server, unknown = cloud.server(demo, vm_state="suspended", host="node1"), str(uuid.uuid4())
    wishes: dict[str, tuple[str, dict[str, object]]] = {
        "attach_volume": ("os-volume_attachments", {"volumeAttachment": {"volumeId": unknown}}),
        "attach_interface": ("os-interface", {"interfaceAttachment": {"net_id": unknown}}),
    }
    for verb, (path, body) in wishes.items():
        words = demo.refused("POST", f"/servers/{server}/{path}", 409, json=body)
        assert words == f"Cannot '{verb}' instance {server} while it is in vm_state suspended"


def test_a_reset_ends_a_resize_that_waits(cloud: Cloud, admin: Api, demo: Api) -> None:
    """The server has its new flavor, and holds nothing of the old one."""
    new = {"id": "big", "name": "m1.big", "vcpus": 2, "ram": 128, "disk": 1, "extra_specs": {}}
    server = cloud.server(demo, vm_state="resized", host="node1", flavor=new, vcpus=2, memory_mb=128)
    old = {"id": "tiny", "name": "m1.tiny", "vcpus": 1, "ram": 256, "disk": 1, "extra_specs": {}}
    migration = str(uuid.uuid4())
    where = {"instance_id": server, "host": "node1", "attempt": 1, "disk_gb": 1}
    with cloud.database.write() as session:
        session.add(Allocation(consumer_id=server, kind="instance", vcpus=2, memory_mb=128, **where))
        session.add(Allocation(consumer_id=migration, kind="migration", vcpus=1, memory_mb=256, **where))
        about = {"source_compute": "node1", "dest_compute": "node1", "old_vm_state": "active", "status": "finished"}
        about |= {"request_id": "req-1", "user_id": demo.user_id, "project_id": demo.project_id}
        session.add(
            MigrationRecord(id=migration, number=1, instance_id=server, old_flavor=old, new_flavor=new, **about)
        )
    act(admin, server, "os-resetState", {"state": "active"})
    with cloud.database.read() as session:
        held = session.exec(select(Allocation).where(col(Allocation.instance_id) == server)).all()
        assert [(claim.kind, claim.vcpus, claim.memory_mb) for claim in held] == [("instance", 2, 128)]
        assert session.get_one(MigrationRecord, migration).status == "error"
    row = cloud.row(server)
    assert (row.vm_state, row.vcpus, row.memory_mb) == ("active", 2, 128)


@pytest.mark.parametrize("name", [name for name, (first, last) in NOT_BUILT.items() if last > 96])
def test_not_built(cloud: Cloud, demo: Api, name: str) -> None:
    server = cloud.server(demo)
    body = demo.post(f"/servers/{server}/action", {name: {}}, 501)
    assert body["notImplemented"]["code"] == 501


def test_unknown_actions(cloud: Cloud, demo: Api) -> None:
    server = cloud.server(demo)
    assert demo.refused("POST", f"/servers/{server}/action", 400, json={"fly": 1}) == "There is no such action: fly"
    demo.refused("POST", f"/servers/{server}/action", 400, json={})
    demo.refused("POST", f"/servers/{server}/action", 400, json={"lock": None, "unlock": None})
    demo.refused("POST", f"/servers/{server}/action", 404, "2.44", json={"addFixedIp": {"networkId": "1"}})
    demo.refused("POST", f"/servers/{server}/action", 404, "2.6", json={"os-getVNCConsole": {"type": "novnc"}})


def test_an_empty_body_of_another_type_is_no_empty_body(cloud: Cloud, demo: Api) -> None:
    """Mechanism: whatever Python calls false stood for an empty object."""
    server = cloud.server(demo, host="node1")

    def refused(name: str, *bodies: object) -> None:
        for body in bodies:
            demo.refused("POST", f"/servers/{server}/action", 400, json={name: body})

    refused("lock", [], "", 0, False)
    refused("os-getConsoleOutput", None, [], "", 0, False)
    refused("trigger_crash_dump", {}, [], "", 0, "now", {"unknown": 1})  # Nova's schema: null
    act(demo, server, "trigger_crash_dump")
    for body in (None, {}):
        act(demo, server, "lock", body)
    act(demo, server, "lock", [], version="2.72")


def test_decisions_over_builds(cloud: Cloud, demo: Api, other: Api) -> None:
    server = cloud.server(demo, vm_state="error")
    for name, decision in (("retry", "again"), ("resume", "retry"), ("abort", "abort")):
        act(demo, server, f"kilonova:{name}")
        assert cloud.ledger.decisions[-1] == (server, decision)
        other.refused("POST", f"/servers/{server}/action", 404, json={f"kilonova:{name}": None})


def test_force_delete(cloud: Cloud, demo: Api) -> None:
    server = cloud.server(demo)
    act(demo, server, "forceDelete")
    assert cloud.ledger.deleted[-1] == server


def test_console_output(cloud: Cloud, demo: Api) -> None:
    server = cloud.server(demo, host="node1")
    assert act(demo, server, "os-getConsoleOutput", {}, 200) == {"output": "one\ntwo\nthree"}
    assert act(demo, server, "os-getConsoleOutput", {"length": 1}, 200) == {"output": "three"}
    assert act(demo, server, "os-getConsoleOutput", {"length": "2"}, 200) == {"output": "two\nthree"}
    assert act(demo, server, "os-getConsoleOutput", {"length": None}, 200, "2.1")
    demo.refused("POST", f"/servers/{server}/action", 400, json={"os-getConsoleOutput": {"length": "x"}})
    early = cloud.server(demo, vm_state="building")
    demo.refused("POST", f"/servers/{early}/action", 409, json={"os-getConsoleOutput": {}})


def test_console_url(cloud: Cloud, demo: Api, admin: Api, service: Api) -> None:
    server = cloud.server(demo, host="node1")
    wish = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
    shown = demo.post(f"/servers/{server}/remote-consoles", wish)["remote_console"]
    url = urlsplit(shown["url"])
    assert (url.port, url.path) == (cloud.settings.port("console"), "/vnc_auto.html")
    (path,) = parse_qs(url.query)["path"]
    token = path.removeprefix("?token=")
    with cloud.database.read() as session:
        stored = session.get_one(ConsoleToken, hashlib.sha256(token.encode()).hexdigest())
    assert timedelta(minutes=9) < stored.expires_at - now() < timedelta(minutes=11)
    demo.refused("POST", "/kilonova/consoles", 403, json={"token": token})
    path = f"/os-console-auth-tokens/{token}"
    demo.refused("GET", path, 403)
    admin.refused("GET", path, 400, "2.30")
    where = {"host": "node1", "port": None, "internal_access_path": "/run/guest.vnc"}
    for version in ("2.31", "2.99"):
        assert admin.get(path, version=version) == {"console": {"instance_uuid": server, **where}}
    admin.refused("GET", f"{path}?more=1", 400, "2.99")
    used = service.post("/kilonova/consoles", {"token": token})
    assert used == {"console": {"target": "unix_socket:/run/guest.vnc", "instance_id": server}}
    service.refused("POST", "/kilonova/consoles", 404, json={"token": token})
    assert admin.refused("GET", path, 404) == "Token not found"


def test_a_console_of_a_port_is_shown_with_it(cloud: Cloud, demo: Api, admin: Api) -> None:
    server = cloud.server(demo, host="node1")
    token = consoles.grant(cloud.database, server, "192.0.2.7:5901")
    where = {"host": "192.0.2.7", "port": 5901, "internal_access_path": None}
    shown = admin.get(f"/os-console-auth-tokens/{token}", version="2.31")
    assert shown == {"console": {"instance_uuid": server, **where}}
    with cloud.database.write() as session:
        session.get_one(ConsoleToken, consoles.digest(token)).expires_at = now()
    admin.refused("GET", f"/os-console-auth-tokens/{token}", 404, "2.31")


def test_serial_console(cloud: Cloud, demo: Api, service: Api) -> None:
    server = cloud.server(demo, host="node1", power_state=1)
    wish = {"remote_console": {"protocol": "serial", "type": "serial"}}
    url = urlsplit(demo.post(f"/servers/{server}/remote-consoles", wish, version="2.6")["remote_console"]["url"])
    assert (url.scheme, url.port, url.path) == ("ws", cloud.settings.port("console"), "/")
    used = service.post("/kilonova/consoles", {"token": parse_qs(url.query)["token"][0]})
    assert used == {"console": {"target": "unix_socket:/run/guest.serial", "instance_id": server}}
    old = demo.post(f"/servers/{server}/action", {"os-getSerialConsole": {"type": "serial"}}, version="2.5")
    assert old["console"]["type"] == "serial" and old["console"]["url"].startswith("ws://")
    body = {"os-getSerialConsole": {"type": "serial"}}
    demo.refused("POST", f"/servers/{server}/action", 404, "2.6", json=body)
    demo.refused("POST", f"/servers/{server}/action", 400, "2.5", json={"os-getSerialConsole": {"type": "novnc"}})


def test_console_refusals(cloud: Cloud, demo: Api) -> None:
    server = cloud.server(demo, host="node1")
    path = f"/servers/{server}/remote-consoles"
    spice = {"remote_console": {"protocol": "spice", "type": "spice-html5"}}
    assert demo.refused("POST", path, 400, json=spice) == "Unavailable console type spice-html5."
    demo.refused("POST", path, 400, json={"remote_console": {"protocol": "vnc", "type": "serial"}})
    novnc = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
    demo.refused("POST", path, 404, "2.5", json=novnc)
    old = demo.post(f"/servers/{server}/action", {"os-getVNCConsole": {"type": "novnc"}}, version="2.1")
    assert old["console"]["type"] == "novnc"
    stopped = cloud.server(demo, host="node1", power_state=4, vm_state="stopped")
    message = demo.refused("POST", f"/servers/{stopped}/remote-consoles", 409, json=novnc)
    assert message == f"Instance {stopped} is not ready"
    paused = cloud.server(demo, host="node1", power_state=3, vm_state="paused")
    assert demo.post(f"/servers/{paused}/remote-consoles", novnc)["remote_console"]["url"], "its screen is there"
    gone = cloud.server(demo, host="node1", task_state="deleting")
    message = demo.refused("POST", f"/servers/{gone}/remote-consoles", 409, json=novnc)
    assert message == f"Cannot 'get_vnc_console' instance {gone} while it is in task_state deleting"


@pytest.fixture
def built(cloud: Cloud, demo: Api) -> tuple[str, str]:
    """A server with a finished create of two steps; its id and the request's."""
    server, request = cloud.server(demo), f"req-{uuid.uuid4()}"
    begun = now()
    with cloud.database.write() as session:
        session.add(
            InstanceAction(
                instance_id=server, request_id=request, action="create", user_id=demo.user_id,
                project_id=demo.project_id, start_time=begun, finish_time=begun + timedelta(seconds=3),
            )
        )  # fmt: skip
        for n, (event, host, result) in enumerate([("claim", None, "Success"), ("spawn", "node1", "Error")]):
            moment = begun + timedelta(seconds=n)
            session.add(
                ActionEvent(
                    instance_id=server, request_id=request, event=event, host=host, attempt=n + 1, start_time=moment,
                    finish_time=moment, result=result, details="boom" if n else None,
                )
            )  # fmt: skip
    return server, request


def test_events(admin: Api, demo: Api, built: tuple[str, str]) -> None:
    server, request = built
    path = f"/servers/{server}/os-instance-actions/{request}"
    shown = demo.get(path)["instanceAction"]
    assert (shown["action"], shown["instance_uuid"], shown["message"]) == ("create", server, None)
    assert [event["event"] for event in shown["events"]] == ["spawn (attempt 2)", "claim"]
    newest = shown["events"][0]
    assert newest["result"] == "Error" and "details" not in newest
    assert len(newest["hostId"]) == 56 and "host" not in newest and "traceback" not in newest
    assert "hostId" not in demo.get(path, version="2.61")["instanceAction"]["events"][0]
    assert "events" not in demo.get(path, version="2.50")["instanceAction"]
    full = admin.get(path)["instanceAction"]["events"][0]
    assert (full["host"], full["traceback"], full["details"]) == ("node1", "boom", "boom")
    assert "details" not in admin.get(path, version="2.83")["instanceAction"]["events"][0]
    assert admin.get(path, version="2.1")["instanceAction"]["events"]
    demo.refused("GET", f"/servers/{server}/os-instance-actions/req-x", 404)


def test_an_owner_is_told_the_deadline_and_no_error(
    cloud: Cloud, admin: Api, demo: Api, built: tuple[str, str]
) -> None:
    server, request = built
    until = f"{DEADLINE}2026-11-27T18:00:00Z"
    with cloud.database.write() as session:
        mine = (col(ActionEvent.request_id) == request, col(ActionEvent.event) == "claim")
        session.execute(update(ActionEvent).where(*mine).values(details=until))
    path = f"/servers/{server}/os-instance-actions/{request}"
    spawn, claim = demo.get(path)["instanceAction"]["events"]
    assert (claim["details"], "details" in spawn) == (until, False)
    full = admin.get(path)["instanceAction"]["events"][1]
    assert (full["details"], full["traceback"]) == (until, None)


def test_action_list(demo: Api, built: tuple[str, str]) -> None:
    path = f"/servers/{built[0]}/os-instance-actions"
    (shown,) = demo.get(path)["instanceActions"]
    assert shown["updated_at"] > shown["start_time"]
    assert "updated_at" not in demo.get(path, version="2.57")["instanceActions"][0]
    assert demo.get(path, limit=1)["links"][0]["rel"] == "next"
    assert demo.get(path, **{"changes-since": "2099-01-01T00:00:00Z"})["instanceActions"] == []
    demo.refused("GET", path, 400, params={"nonsense": "1"})
    demo.refused("GET", path, 400, params={"marker": "req-x"})


def test_running_action_shows_live_steps(cloud: Cloud, demo: Api) -> None:
    server, request = cloud.server(demo, vm_state="building", task_state="spawning"), f"req-{uuid.uuid4()}"
    with cloud.database.write() as session:
        session.add(
            InstanceAction(
                instance_id=server, request_id=request, action="create", user_id="u", project_id=demo.project_id
            )
        )
    step = {"host": "node1", "attempt": 1, "start_time": now(), "finish_time": None, "result": None, "details": None}
    cloud.ledger.steps = [{"event": "claim", **step}, {"event": "spawn", **step}]
    try:
        shown = demo.get(f"/servers/{server}/os-instance-actions/{request}")["instanceAction"]
    finally:
        cloud.ledger.steps = []
    assert [event["event"] for event in shown["events"]] == ["spawn", "claim"]
    assert shown["events"][0]["finish_time"] is None


def test_kilonova_watch_ends_with_the_operation(cloud: Cloud, demo: Api, built: tuple[str, str]) -> None:
    """Mechanism: it waited for `finish_time`, which Nova's actions do not have: it never left by itself."""

    argv = [sys.executable, "-c", "from workers.cli.main import app; app()", "watch", built[0]]
    who = os.environ | cloud.sign_in("admin")
    watched = subprocess.run(argv, env=who, stdout=subprocess.PIPE, timeout=40, text=True)
    *steps, end = watched.stdout.splitlines()
    assert [line.split()[1] for line in steps] == ["claim", "spawn"], "in their order"
    assert watched.returncode == 0 and end.startswith("create: ") and end.endswith(" is ACTIVE")
    with cloud.database.write() as session:
        session.get_one(Instance, built[0]).task_state = "deleting"
    with subprocess.Popen(argv, env=who, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout and "claim" in watching.stdout.readline()
        with cloud.database.write() as session:
            session.get_one(Instance, built[0]).deleted_at = now()
        rest, _ = watching.communicate(timeout=40)
    assert watching.returncode == 0 and rest.strip().endswith(" is DELETED")


def test_actions_of_a_deleted_server(cloud: Cloud, demo: Api, built: tuple[str, str]) -> None:
    demo.delete(f"/servers/{built[0]}")
    path = f"/servers/{built[0]}/os-instance-actions"
    assert demo.get(path)["instanceActions"]
    demo.refused("GET", path, 404, "2.20")


def test_the_answer_names_the_image(cloud: Cloud, demo: Api) -> None:
    server = cloud.server(demo, host="node1", image_ref=str(uuid.uuid4()))
    for name, body in (
        ("createImage", {"name": "copy"}),
        ("createBackup", {"name": "copy", "backup_type": "daily", "rotation": 1}),
    ):
        answer = act(demo, server, name, body)
        assert isinstance(answer, dict) and uuid.UUID(answer["image_id"])
        older = demo.http.post(
            f"/servers/{server}/action", json={name: body}, headers={"OpenStack-API-Version": "compute 2.44"}
        )
        assert older.status_code == 202 and not older.content
        assert uuid.UUID(older.headers["Location"].rsplit("/images/", 1)[1])
    none_kept = {"createBackup": {"name": "copy", "backup_type": "daily", "rotation": 0}}
    older = demo.http.post(
        f"/servers/{server}/action", json=none_kept, headers={"OpenStack-API-Version": "compute 2.44"}
    )
    assert older.status_code == 202 and "Location" not in older.headers, "it is gone by the end"


def test_images_that_cannot_be_made(cloud: Cloud, demo: Api) -> None:
    server = cloud.server(demo, host="node1", image_ref=str(uuid.uuid4()))
    of_volume = cloud.server(demo, host="node1")
    many = {f"key{n}": "x" for n in range(200)}
    url = f"/servers/{server}/action"
    words = demo.refused("POST", url, 403, json={"createImage": {"name": "copy", "metadata": many}})
    assert words.startswith("Maximum number of metadata items exceeds")
    demo.refused("POST", url, 400, json={"createImage": {"name": ""}})
    demo.refused("POST", url, 400, json={"createBackup": {"name": "copy", "backup_type": "daily", "rotation": -1}})
    backup = {"createBackup": {"name": "copy", "backup_type": "daily", "rotation": 1}}
    words = demo.refused("POST", f"/servers/{of_volume}/action", 400, json=backup)
    assert words == "Backup is not supported for volume-backed instances."
