"""Every door of a running cloud, tried by a local user who is nobody, and by whoever stole a host's credential."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.cloud import ROOT, Cloud, User, cloud
from tests.security.stolen import LISTS, as_host, listed, stolen

STOLEN, OTHER = "node1", "node2"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    state = tmp_path_factory.mktemp("doors") / "state"
    for parent in state.parents[:3]:  # what is below is shut by itself, not by pytest's own directory
        if parent != Path("/tmp"):
            parent.chmod(0o755)
    with cloud(state) as found:
        yield found


@pytest.fixture
def thief(running: Cloud) -> User:
    return User(running.settings, f"host-{STOLEN}", "service")


def tried(state_dir: Path, *options: str) -> tuple[list[str], list[str]]:
    """All doors, and those that are open."""
    command = [sys.executable, "-m", "tests.security.doors", str(state_dir), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    doors = [line for line in done.stdout.splitlines() if line.startswith(("OPEN", "shut"))]
    assert re.search(rf"^{len(doors)} doors tried", done.stdout, re.M), done.stdout + done.stderr
    return doors, [line for line in doors if line.startswith("OPEN")]


def test_nobody_comes_through_any_door(running: Cloud) -> None:
    doors, opened = tried(running.settings.state_dir)
    assert len(doors) > 250 and opened == []


def test_they_are_doors(running: Cloud) -> None:
    """To root they are open, but for what is shut to everybody: what needs a credential, what is in a namespace."""
    doors, opened = tried(running.settings.state_dir, "--as-root")
    kinds = {line.split()[1] for line in opened}
    assert len(opened) > len(doors) / 2 and {"file", "socket", "namespace", "environ"} <= kinds
    sockets = "\n".join(line for line in opened if line.split()[1] == "socket")
    assert {s for s in ("libvirt-sock", "monitor.sock", "vnc", "nbd", "nbd.qmp") if s not in sockets} == set(), sockets
    assert "qemu" in "\n".join(opened), "a guest's emulator is among the processes"


def test_a_stolen_host_comes_through_no_door_of_others(running: Cloud, thief: User) -> None:
    doors = stolen(running, OTHER)
    assert len(doors) > 40 and [str(door) for door in doors if door.open_to(thief)] == []


def test_they_are_doors_of_that_host(running: Cloud) -> None:
    """Whose they are comes through them: the host itself, and for the rest the administrator."""
    server = running.servers[OTHER]["id"]
    owner = User(running.settings, f"host-{OTHER}", "service")
    kept = [door for door in as_host(OTHER, server) if not door.path.endswith("/events") and door.method != "PUT"]
    assert [str(door) for door in kept if not door.open_to(owner)] == []
    reading = [door for door in stolen(running, OTHER) if door.method == "GET" and "kilonova" not in door.path]
    assert [str(door) for door in reading if not door.open_to(running.admin)] == []


def test_a_stolen_host_lists_nothing(running: Cloud, thief: User) -> None:
    """Not even what its own guests have, whose ids it was told: only what every project may see."""
    networks = running.admin.ok("network", "GET", "/v2.0/networks")["networks"]
    shared = {each["id"] for each in networks if each["shared"] or each["router:external"]}
    shared |= {subnet for each in networks if each["id"] in shared for subnet in each["subnets"]}
    shown = {path: listed(thief, service, path) for service, path in LISTS}
    own = f"/v2.0/security-groups?project_id={thief.project_id}"  # the list makes the project's default one
    shared |= {each["id"] for each in running.admin.ok("network", "GET", own)["security_groups"]}
    told = {path: ids - shared for path, ids in shown.items()}
    assert told == {path: set() for _, path in LISTS}
    hidden = {path for service, path in LISTS if listed(running.admin, service, path) - shared}
    assert {path for _, path in LISTS if "routers" not in path and "snapshots" not in path} <= hidden


def test_a_stolen_host_says_nothing_about_a_guest_of_another(running: Cloud, thief: User) -> None:
    """In its own name, too: the event is taken, as a host may be late, and changes nothing."""
    server = running.servers[OTHER]["id"]
    events = {"events": [{"instance_id": server, "power_state": 4, "reason": "x"}]}
    thief.send("compute", "POST", f"/v2.1/kilonova/hosts/{STOLEN}/events", events)
    shown = running.show(server)
    assert (shown["status"], shown["OS-EXT-STS:power_state"]) == ("ACTIVE", 1)
    assert thief.send("compute", "GET", f"/v2.1/kilonova/hosts/{STOLEN}/claims/{server}").status_code == 404
    claims = thief.ok("compute", "GET", f"/v2.1/kilonova/hosts/{STOLEN}/claims")["claims"]
    assert [claim["instance_id"] for claim in claims] == [running.servers[STOLEN]["id"]]


def test_a_stolen_host_is_told_no_export_of_another(running: Cloud, thief: User) -> None:
    for host, told in ((STOLEN, True), (OTHER, False)):
        listed = running.admin.ok("volume", "GET", f"/v3/volumes/{running.volumes[host]}")["volume"]["attachments"]
        answer = thief.send("volume", "GET", f"/v3/attachments/{listed[0]['attachment_id']}")
        assert bool(answer.is_success and answer.json()["attachment"].get("connection_info")) is told, answer.text
        moved = {"attachment": {"connector": {"host": OTHER}}}
        path = f"/v3/attachments/{listed[0]['attachment_id']}"
        assert thief.send("volume", "PUT", path, moved).status_code == 403
