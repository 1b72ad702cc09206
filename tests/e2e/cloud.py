"""One cloud for all end-to-end tests: its commands, its users' `openstack` client, its guests, its host's leftovers."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from infra.hostnet import netns
from infra.hostnet.store import Store
from infra.settings import Settings
from tests import commands
from workers.cli.client import Client
from workers.cli.shell import inside
from workers.layout import Layout, host_settings
from workers.plan import read_status
from workers.process import MARK

KILONOVA = str(Path(sys.executable).with_name("kilonova"))
PREFIX = "192.168.56"
LOOK_S = 0.8
"""Between two looks at a server: each is three requests, its own and two to the network service."""


def wait_for(condition: Callable[[], Any], seconds: float, what: str, every_s: float = 0.5) -> Any:
    """The condition's first true value; AssertionError when there is none in time."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(every_s)
    return found


@dataclass
class Server:
    id: str
    name: str
    address: str


class User(Client):
    """Its commands show the token of its own session: a password costs Keystone 80 ms of a processor, a token 9."""

    _token = ""

    def __call__(self, *arguments: str, answers: bool = True) -> Any:
        self._token = self.sdk.auth_token
        return super().__call__(*arguments, answers=answers)

    @property
    def _auth(self) -> dict[str, str]:
        told = super()._auth
        if not self._token:
            return told
        scope = {name: told[name] for name in ("auth_url", "project_name", "project_domain_name")}
        return {**scope, "auth_type": "v3token", "token": self._token}


class Cloud:
    """`admin` and `demo` run the unmodified client: cloud.demo("server", "list") is its JSON."""

    def __init__(self, state_dir: Path, port_offset: int) -> None:
        self.settings = Settings(state_dir=state_dir, port_offset=port_offset)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("KILONOVA_", "OS_"))}
        self.vendor_data = state_dir / "vendor.json"
        own = {"STATE_DIR": str(state_dir), "PORT_OFFSET": str(port_offset), "FAILPOINTS": "true"}
        own |= {
            "NETWORK_EVENTS": "false",
            "HEAL_INSTANCE_INFO_CACHE_INTERVAL": "5",
        }  # what is told is lost: looks find it
        own["DETACH_TIMEOUT_S"] = "12"  # a guest that keeps a device is asked three times
        own["VENDOR_DATA_FILE"] = str(self.vendor_data)
        self.certificates = state_dir / "certificates"
        own["IMAGE_CERTIFICATES"] = str(self.certificates)
        self.env = kept | {f"KILONOVA_{name}": value for name, value in own.items()}
        self.key = state_dir / "key"
        self.admin, self.demo = (User(self.settings, who, Console(quiet=True)) for who in ("admin", "demo"))

    def kilonova(self, *arguments: str, seconds: float = 180) -> "subprocess.CompletedProcess[str]":
        command = [KILONOVA, *arguments]
        return subprocess.run(
            command, env=self.env, cwd="/", capture_output=True, text=True, timeout=seconds, check=False
        )

    def leaks(self, *flags: str) -> "subprocess.CompletedProcess[str]":
        return commands.leaks(*flags, env=self.env)

    def inside(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """As `kilonova exec`, whose own start costs a poll more than what it asks."""
        return subprocess.run(inside(self.host, [*command]), capture_output=True, text=True, timeout=60, check=False)

    def links(self) -> str:
        """Interfaces beside the bridges, as `kilonova exec --bridges -- ip -o link` shows them."""
        return netns.run(self.host.netns, ["ip", "-o", "link"])

    def pings(self, address: str) -> bool:
        return self.inside("ping", "-c1", "-W1", address).returncode == 0

    def ssh(self, server: Server, script: str, seconds: float = 90) -> str:
        """What the script prints in the guest, once it can be logged into."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=4", "BatchMode=yes"]
        flags = [part for option in (*options, "LogLevel=ERROR") for part in ("-o", option)]
        command = ["ssh", "-i", str(self.key), *flags, f"cirros@{server.address}", script]
        end = time.monotonic() + seconds
        while (done := self.inside(*command)).returncode == 255:  # ssh's own: it did not get in
            assert time.monotonic() < end, f"no login into {server.name}: {done.stderr}"
            time.sleep(0.5)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @cached_property
    def layout(self) -> Layout:
        layout = Layout.load(self.settings.state_dir)
        assert layout is not None
        return layout

    @property
    def host(self) -> Settings:
        return host_settings(self.settings, self.layout, self.layout.hosts[0])

    def status(self, server_id: str) -> str:
        return str(self.admin.get(f"/servers/{server_id}")["server"]["status"])

    def boot(self, name: str, *options: str) -> str:
        """Id of a server that is being built, on the network with the key."""
        image = ["--image", "cirros", "--key-name", "mykey", "--nic", f"net-id={self.network}"]
        made = self.demo("server", "create", "--flavor", "keywa.com", *image, *options, name)
        assert made["status"] == "BUILD"
        return str(made["id"])

    def built(self, server_id: str, seconds: float = 90) -> Server:
        """The server, ACTIVE; AssertionError with its fault when it ends otherwise."""
        wait_for(lambda: self.status(server_id) != "BUILD", seconds, "the build ends", LOOK_S)
        server = self.admin.get(f"/servers/{server_id}")["server"]
        assert server["status"] == "ACTIVE", server.get("fault")
        addresses = [fixed["addr"] for fixed in server["addresses"].get("provider", [])]
        return Server(server_id, server["name"], next(iter(addresses), ""))

    @cached_property
    def network(self) -> str:
        return str(self.admin.sdk.network.find_network("provider", ignore_missing=False).id)

    def pid(self, process: str) -> int:
        return int((self.settings.run_dir / f"{process}.pid").read_text().split()[0])

    def supervised(self) -> dict[str, dict[str, Any]]:
        """What the supervisor says of each process that it keeps, by name."""
        found: dict[str, dict[str, Any]] = read_status(self.settings.state_dir).get("units", {})
        return found

    def started(self) -> dict[str, list[int]]:
        """What supervised processes started to go on without them, guests apart, by a name; none of their children."""
        units = self.supervised()
        marks = {pid: _mark(pid).removeprefix(f"{self.settings.run_dir.resolve()}/") for pid, _ in _command_lines()}
        ours = {pid for pid, mark in marks.items() if mark in units}
        found: dict[str, list[int]] = {}
        for pid, words in _command_lines():
            apart = pid in ours and _parent(pid) not in ours and pid not in {unit["pid"] for unit in units.values()}
            if apart and not words.startswith("/usr/bin/qemu-system"):
                found.setdefault(f"started by {marks[pid]}", []).append(pid)
        return found

    def qemu_pids(self, server_id: str) -> list[int]:
        return [pid for pid, words in _command_lines() if server_id in words and words.startswith("/usr/bin/qemu-")]

    def traces(self, server: Server, mac: str) -> list[str]:
        """What this host still has of a server: process, domain, tap, DHCP entry, files."""
        found = [f"process {pid}" for pid in self.qemu_pids(server.id)]
        uri = self.host.libvirt_uri
        listed = subprocess.run(["virsh", "-c", uri, "list", "--all", "--uuid"], capture_output=True, text=True)
        assert listed.returncode == 0, listed.stderr
        found += ["domain"] if server.id in listed.stdout else []
        found += ["tap"] if mac[3:] in self.links() else []
        for file in (Store(self.host).run / "dhcp").glob("*/hosts"):
            found += [f"DHCP entry in {file}"] if mac in file.read_text() else []
        found += [str(file) for file in self.host.host_dir.glob("ports/*.json") if mac in file.read_text()]
        found += [str(path) for path in self.host.host_dir.rglob(f"*{server.id}*") if "log" not in path.parts]
        return found

    def remains(self) -> list[str]:
        """What `down` should not have left on the machine."""
        state = str(self.settings.state_dir)
        found = [f"process {pid}: {words}" for pid, words in _command_lines() if state in words]
        mounts = Path("/proc/mounts").read_text().splitlines()
        found += [line for line in mounts if state in line and line.split()[1] != state]
        netns = Path("/run/netns") / self.layout.netns
        return found + ([str(netns)] if netns.exists() else [])


def _parent(pid: int) -> int:
    """0 for a process that is gone."""
    try:
        return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _mark(pid: int) -> str:
    """Which process of the supervisor's it is, or was started by; "" for any other."""
    try:
        names = (Path("/proc") / str(pid) / "environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    return next((each.partition("=")[2] for each in names if each.startswith(f"{MARK}=")), "")


def _command_lines() -> list[tuple[int, str]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                found.append((int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()))
            except (OSError, UnicodeDecodeError):
                continue
    return found
