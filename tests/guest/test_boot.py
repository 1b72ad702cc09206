"""The guest becomes the server it was booted as, in its min_ram, under TCG."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.guest.machine import INSTANCE, Machine, config_drive

SCRIPT = "#!/bin/sh\necho ran >> /root/user-data-runs\necho user script speaks\n"
RELAY = "exec 3<>/dev/tcp/127.0.0.1/$1\ncat <&3 &\nexec cat >&3\n"
"""A connection of QEMU's to one of ours, begun anew for each request: what it forwards to an address is one for all."""


def metadata(machine: Machine) -> dict[str, Any]:
    key = machine.key.with_suffix(".pub").read_text()
    return {
        "uuid": INSTANCE,
        "name": "demo-instance",
        "hostname": "demo-instance.novalocal",
        "public_keys": {"mykey": key},
        "meta": {"hostname": "impostor", "note": "ssh-ed25519 AAAAnotakey x"},
    }


@pytest.fixture
def metadata_service() -> Iterator[tuple[int, dict[str, str]]]:
    """A web server whose answers are path -> text, 404 else."""
    answers: dict[str, str] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = answers.get(self.path)
            self.send_response(200 if text else 404)
            self.send_header("Content-Length", str(len(text or "")))
            self.end_headers()
            self.wfile.write((text or "").encode())

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], answers
    server.shutdown()


def test_what_a_disk_was_booted_as_stays_until_another_instance_boots_from_it(
    machine: Callable[[], Machine], metadata_service: tuple[int, dict[str, str]]
) -> None:
    """One disk, three boots: from a config drive; the same beside a copy of itself; as another instance, by network."""
    guest = machine()
    drive = config_drive(guest.directory / "config.iso", metadata(guest), SCRIPT)
    guest.start(drive)
    log = guest.wait_for("demo-instance login:")
    assert "metadata from config drive" in log
    assert "eth0=10.0.2.15" in log
    assert log.index("ready eth0") < log.index("user script speaks") < log.index("login:")
    assert guest.ssh("hostname; id -un; id -u").split() == ["demo-instance", "cirros", "1000"]
    assert guest.ssh("cat ~/.ssh/authorized_keys") == guest.key.with_suffix(".pub").read_text()
    assert "0% packet loss" in guest.ssh("ping -c 1 10.0.2.2")
    assert guest.ssh("sudo sh -c 'echo $1' x 'two words'").strip() == "two words"
    host_key = guest.ssh("sudo md5sum /etc/dropbear/dropbear_ed25519_host_key")
    guest.until(lambda: "yes" if _root_mb(guest) > 900 else "", "root file system of the disk's size")

    assert guest.power_off() == 0
    guest.extra = ["-drive", f"file={machine().disk},if=virtio"]
    guest.start(drive)
    log = guest.wait_for("demo-instance login:")
    assert "user script speaks" not in log
    assert guest.ssh("sudo cat /root/user-data-runs") == "ran\n"
    assert guest.ssh("sudo md5sum /etc/dropbear/dropbear_ed25519_host_key") == host_key
    the_first_disk_is_root_and_new_cards_get_addresses(guest)
    guest.power_off()
    another_instance_on_the_same_disk_gets_keys_and_script_of_its_own(guest, host_key, *metadata_service)


def the_first_disk_is_root_and_new_cards_get_addresses(guest: Machine) -> None:
    root = guest.ssh("awk '$5 == \"/\" {print $3}' /proc/self/mountinfo").split()[-1]
    assert root == guest.ssh("cat /sys/block/vda/vda1/dev").strip()
    assert guest.ssh("cat /sys/block/vdb/vdb1/dev").strip() != root, "the copy is there"
    guest.qmp("netdev_add", type="user", id="second", net="10.9.0.0/24")
    guest.qmp("device_add", driver="virtio-net-pci", netdev="second", id="card2")
    guest.until(lambda: guest.ssh("ip -4 -o addr show scope global | grep 10.9.0. || true"), "address on the new card")


def another_instance_on_the_same_disk_gets_keys_and_script_of_its_own(
    guest: Machine, host_key: str, port: int, answers: dict[str, str]
) -> None:
    """Its metadata and script come over the network."""
    other = metadata(guest) | {"uuid": INSTANCE.replace("7d", "8e"), "hostname": "copy"}
    answers["/openstack/latest/meta_data.json"] = json.dumps(other)
    answers["/openstack/latest/user_data"] = SCRIPT
    guest.extra = []
    relay = guest.directory / "relay"
    relay.write_text(RELAY)
    to = f"guestfwd=tcp:169.254.169.254:80-cmd:bash {relay} {port}"
    guest.network = f"user,net=169.254.0.0/16,{to}"
    guest.start()
    log = guest.wait_for("copy login:")
    assert "metadata from http://169.254.169.254" in log and "user script speaks" in log
    assert guest.ssh("hostname").strip() == "copy"
    assert guest.ssh("sudo cat /root/user-data-runs") == "ran\nran\n"
    assert guest.ssh("sudo md5sum /etc/dropbear/dropbear_ed25519_host_key") != host_key


def _root_mb(guest: Machine) -> int:
    return int(guest.ssh("df -m /").splitlines()[-1].split()[1])


def test_without_metadata_it_still_ends_at_a_login_that_the_screen_shows_too(
    machine: Callable[[], Machine], tmp_path: Path
) -> None:
    guest = machine()
    guest.network = "user,restrict=on,net=10.1.0.0/24"
    guest.start()
    assert "ssh is up" in guest.wait_for("cirros login:", 120)
    picture = tmp_path / "screen.ppm"

    def lit_pixels() -> str:
        guest.qmp("screendump", filename=str(picture))
        pixels = picture.read_bytes().split(b"\n", 3)[3]
        lit = len(pixels) - pixels.count(0)
        return "yes" if lit > 5000 else ""

    guest.until(lit_pixels, "text on the screen", 20)
