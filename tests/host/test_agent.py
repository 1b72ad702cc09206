"""The agent within real guests: one that has none, and Linux with one; what a host learns of a guest besides."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt_qemu
import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.agent import NewPassword, Still
from infra.contracts.hypervisor import FlavorFacts
from infra.contracts.image import ImageOnHost
from infra.contracts.snapshot import SnapshotOnHost
from infra.guest.source import kernel_cached, obtain
from infra.host.agent import GuestAgent
from infra.host.driver import Driver
from infra.host.files.images import ImageStore
from infra.host.snapshots import Snapshots
from tests.host.cloud import Cloud, new_id, until
from tests.host.glance import Glance, StoredImage
from tests.host.hypervisor import Hypervisor
from tests.host.specs import spec
from tests.host.test_guest import Built, driver, guest, hypervisor, quiet

__all__ = ["driver", "guest", "hypervisor"]
AGENT = {"hw_qemu_guest_agent": "yes"}
SECRET = "hunter2 \"quoted\" 'new'"


def password(guest: Built, user: str = "cirros") -> NewPassword:
    return NewPassword(instance_id=guest.spec.instance_id, attempt=1, user=user, password=SECRET)


def refused(guest: Built, want: NewPassword) -> tuple[str, int]:
    with pytest.raises(ApplicationError) as refusal:
        GuestAgent(guest.driver).set_password(want, quiet)
    return refusal.value.message, refusal.value.details[0]["code"]


def copy(guest: Built, cloud: Cloud, hypervisor: Hypervisor, *, quiesce: bool) -> Path:
    snapshots = Snapshots(hypervisor.settings, cloud.session, guest.driver)
    want = SnapshotOnHost(instance_id=guest.spec.instance_id, attempt=1, image_id=new_id(), quiesce=quiesce)
    snapshots.take(want, quiet)
    return snapshots._file(want)


def test_a_guest_without_an_agent(guest: Built, cloud: Cloud, hypervisor: Hypervisor) -> None:
    guest.spawn()
    id = guest.spec.instance_id
    assert refused(guest, password(guest)) == ("QEMU guest agent is not enabled", 409)
    with pytest.raises(ApplicationError, match="QEMU guest agent is not enabled"):
        copy(guest, cloud, hypervisor, quiesce=True)
    assert copy(guest, cloud, hypervisor, quiesce=False).exists()
    guest.driver.power.pause(password(guest), quiet)
    with pytest.raises(ApplicationError) as refusal:
        guest.driver.diagnostics(id)
    assert refusal.value.message == f"Cannot 'get_diagnostics' instance {id} while it is in power state paused"


def test_an_agent_that_is_promised_and_does_not_answer(guest: Built, cloud: Cloud, hypervisor: Hypervisor) -> None:
    guest.spec = guest.spec.model_copy(update={"image_properties": AGENT})
    guest.spawn()
    id = guest.spec.instance_id
    assert refused(guest, password(guest)) == ("Unable to set password on instance", 501)
    with pytest.raises(ApplicationError, match="Failed to quiesce instance"):
        copy(guest, cloud, hypervisor, quiesce=True)
    assert copy(guest, cloud, hypervisor, quiesce=False).exists()
    guest.driver.power.pause(password(guest), quiet)
    words = f"Failed to set admin password on {id} because instance {id} is not running"
    assert refused(guest, password(guest)) == (words, 409)


@pytest.fixture
def linux(cloud: Cloud, hypervisor: Hypervisor, driver: Driver, glance: Glance) -> Iterator[Built]:
    image, image_id = obtain(hypervisor.settings, lean=kernel_cached()), new_id()
    glance.images[image_id] = StoredImage(image.path.read_bytes(), "qcow2")
    instance_id = cloud.claim(new_id())
    store = ImageStore(hypervisor.settings, cloud.session)
    disk = store.fetch(ImageOnHost(instance_id=instance_id, image_id=image_id, disk_gb=1), quiet)
    flavor = FlavorFacts(id="1", name="m1.nano", vcpus=1, ram=max(64, image.min_ram_mb), disk=1)
    about = spec(instance_id, image_id=image_id, disk=disk, flavor=flavor, image_properties=AGENT)
    yield Built(about, driver, store)
    driver.destroy(instance_id)
    store.remove(instance_id)


class Terminal:
    """The guest's serial port, as a console's WebSocket is connected to it."""

    def __init__(self, guest: Built) -> None:
        kind, _, path = guest.driver.console_target(guest.spec.instance_id, "serial").partition(":")
        assert kind == "unix_socket"
        self.port = socket.socket(socket.AF_UNIX)
        self.port.connect(path)
        self.port.settimeout(60)

    def say(self, text: str, answer: str) -> str:
        self.port.sendall(f"{text}\n".encode())
        got = ""
        while answer not in got:
            got += self.port.recv(4096).decode(errors="replace")
        return got


def ask(guest: Built, command: str) -> Any:
    """What the agent itself answers, past our own code."""
    words = json.dumps({"execute": command})
    call = guest.driver.agents._libvirt.call
    answer = call(lambda c: libvirt_qemu.qemuAgentCommand(c.lookupByUUIDString(guest.spec.instance_id), words, 20, 0))
    return json.loads(answer)["return"]


def test_linux_with_an_agent(
    linux: Built, cloud: Cloud, hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Boots once: a password is set and opens the serial console; a copy is made of file systems that are held still,
    and thawed also when the host's worker dies meanwhile; the host knows what the guest uses."""
    linux.spawn()
    until(lambda: "cloud: " in linux.log and "ready" in linux.log, 240)
    agent, id = GuestAgent(linux.driver), linux.spec.instance_id
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            agent.set_password(password(linux), quiet)
            break
        except ApplicationError as error:
            assert error.details[0]["code"] == 501
            time.sleep(0.5)
    agent.set_password(password(linux), quiet)
    assert refused(linux, password(linux, "nobody")) == (
        f"Failed to set admin password on {id} because error setting admin password",
        409,
    )
    assert "hunter2" not in linux.log  # looked at before it is typed: a slow guest's port may echo that
    terminal = Terminal(linux)
    terminal.say("", "login:")
    terminal.say("cirros", "Password:")
    terminal.say(SECRET, "$ ")
    assert "uid=1000" in terminal.say("id", "gid=")
    with agent.still(id, required=True):
        assert ask(linux, "guest-fsfreeze-status") == "frozen"
    assert ask(linux, "guest-fsfreeze-status") == "thawed"
    assert copy(linux, cloud, hypervisor, quiesce=True).stat().st_size > 1 << 20
    agent._freeze(id, required=True)  # and here the worker dies
    assert copy(linux, cloud, hypervisor, quiesce=False).exists()
    assert ask(linux, "guest-fsfreeze-status") == "thawed"
    agent._freeze(id, required=True)
    GuestAgent(linux.driver).thaw_left()
    assert ask(linux, "guest-fsfreeze-status") == "thawed"
    held = Still(instance_id=id, attempt=1, required=True)
    agent.hold(held, quiet)
    agent.hold(held, quiet)
    assert ask(linux, "guest-fsfreeze-status") == "frozen"
    agent.let_go(held, quiet)
    monkeypatch.setattr("infra.host.agent.HELD_S", 0.5)
    agent.hold(held, quiet)
    until(lambda: ask(linux, "guest-fsfreeze-status") == "thawed")
    with pytest.raises(ApplicationError, match="did not stay frozen long enough"):
        agent.let_go(held, quiet)
    terminal.say("touch it && ls", "it")
    known = linux.driver.diagnostics(id)
    root = next(disk for disk in known.disks if disk.device == "vda")
    assert (known.state, known.hypervisor, known.memory_kib >> 10) == ("running", "qemu", linux.spec.flavor.ram)
    assert root.read_bytes > 1 << 20 and root.read_requests > 0 and root.write_bytes > 0
    assert known.cpus[0].time > 10**9 and known.memory["actual"] == known.memory_kib
    told = [hypervisor.settings.host_dir / "libvirtd.log", Path(f"/proc/{hypervisor.qemu(id)}/cmdline")]
    assert not any(b"hunter2" in place.read_bytes() for place in told)
