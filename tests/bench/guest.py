"""`make bench-guest`: POST /servers until SSH answers, beside a bare `virsh create` of the same disk and image.

The cloud is `kilonova demo` in a state directory of its own: one QEMU host, its image already in the host's cache."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from infra import credentials
from infra.settings import Settings
from tests.bench.boot import KILONOVA
from workers.layout import Layout, host_settings

OFFSET = int(os.environ.get("KILONOVA_PORT_OFFSET") or 23000)
WAIT_S = 180
WAIT_FOR_SSH = """
import socket, sys, time
while True:
    try:
        with socket.create_connection((sys.argv[1], 22), timeout=0.5) as guest:
            guest.settimeout(5)
            if guest.recv(4) == b"SSH-":
                break
    except OSError:
        time.sleep(0.05)
"""


class Bench:
    def __init__(self, state_dir: Path) -> None:
        self.env = {**os.environ, "KILONOVA_STATE_DIR": str(state_dir), "KILONOVA_PORT_OFFSET": str(OFFSET)}
        self.settings = Settings(state_dir=state_dir, port_offset=OFFSET)
        self.compute = self.settings.url("compute", "/v2.1")
        self.http = httpx.Client(timeout=60)

    def prepare(self) -> None:
        """The demo's network, groups, key, flavor and image; its server goes."""
        subprocess.run([KILONOVA, "demo"], env=self.env, check=True, stdout=subprocess.DEVNULL)
        password = credentials.load(self.settings.state_dir)["demo"]
        user = {"name": "demo", "password": password, "domain": {"id": "default"}}
        scope = {"project": {"name": "demo", "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        answer = self.http.post(f"{self.settings.identity_url}/auth/tokens", json=body)
        self.http.headers["X-Auth-Token"] = answer.headers["x-subject-token"]
        self.http.headers["OpenStack-API-Version"] = "compute 2.46"  # the flavor by its id
        shown = self.http.get(f"{self.compute}/servers/detail").json()["servers"][0]
        port = self.http.get(f"{self.compute}/servers/{shown['id']}/os-interface").json()["interfaceAttachments"][0]
        self.address = port["fixed_ips"][0]["ip_address"]
        self.server = {
            "name": "bench-guest",
            "imageRef": shown["image"]["id"],
            "flavorRef": shown["flavor"]["id"],
            "key_name": shown["key_name"],
            "networks": [{"uuid": port["net_id"], "fixed_ip": self.address}],
        }
        self.delete(shown["id"])
        layout = Layout.load(self.settings.state_dir) or Layout()
        self.uri = host_settings(self.settings, layout, layout.hosts[0]).libvirt_uri

    def until_ssh(self) -> "subprocess.Popen[bytes]":
        """A process, where guests can be reached, that ends when the guest's SSH server has spoken."""
        inside = [KILONOVA, "exec", "--network", "provider", "--", sys.executable, "-c", WAIT_FOR_SSH, self.address]
        until = ["sh", "-c", 'until "$@" 2>/dev/null; do sleep 0.1; done', "until-ssh", *inside]  # a network to be in
        return subprocess.Popen(until, env=self.env)

    def boot(self) -> tuple[str, float]:
        """The server's id, and seconds from the request to its SSH server."""
        waiting = self.until_ssh()
        time.sleep(2)
        begun = time.monotonic()
        answer = self.http.post(f"{self.compute}/servers", json={"server": self.server})
        answer.raise_for_status()
        waiting.wait(WAIT_S)
        return answer.json()["server"]["id"], time.monotonic() - begun

    def bare(self, server_id: str) -> float:
        """The same guest from a fresh overlay of the same image, by libvirt alone: seconds to its SSH server."""
        name = self.virsh("domname", server_id).strip()
        xml = self.virsh("dumpxml", name, "--inactive")
        self.virsh("destroy", name)
        disk = self.virsh("domblklist", name).split("vda")[1].split()[0]
        told = subprocess.run(["qemu-img", "info", "--output=json", disk], check=True, stdout=subprocess.PIPE).stdout
        image: dict[str, Any] = json.loads(told)
        backing = ["-b", image["backing-filename"], "-F", image["backing-filename-format"]]
        make = ["qemu-img", "create", "-q", "-f", "qcow2", *backing, disk, str(image["virtual-size"])]
        subprocess.run(make, check=True)
        file = self.settings.state_dir / "bench-guest.xml"
        file.write_text(xml)
        waiting = self.until_ssh()
        time.sleep(2)
        begun = time.monotonic()
        self.virsh("create", str(file))
        waiting.wait(WAIT_S)
        return time.monotonic() - begun

    def virsh(self, *command: str) -> str:
        return subprocess.run(
            ["virsh", "-q", "-c", self.uri, *command], check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def delete(self, server_id: str) -> None:
        url = f"{self.compute}/servers/{server_id}"
        self.http.delete(url).raise_for_status()
        while self.http.get(url).status_code != 404:
            time.sleep(0.1)


def main() -> None:
    rounds = int(os.environ.get("BENCH_ROUNDS", "3"))
    with tempfile.TemporaryDirectory(prefix="kilonova-guest-") as scratch:
        bench = Bench(Path(scratch))
        ours, bare = [], []
        try:
            bench.prepare()
            for _ in range(rounds):
                server_id, seconds = bench.boot()
                ours.append(seconds)
                bare.append(bench.bare(server_id))
                bench.delete(server_id)
        finally:
            subprocess.run([KILONOVA, "down"], env=bench.env, check=False, stdout=subprocess.DEVNULL)
    of_ours, of_bare = statistics.median(ours), statistics.median(bare)
    pairs = ", ".join(f"{a:.1f}/{b:.1f}" for a, b in zip(ours, bare, strict=True))
    print(f"\n| what | measured ({rounds} rounds) | aim |\n|---|---|---|")
    print(f"| POST to ssh | {of_ours:.1f} s = {of_ours / of_bare:.2f} x bare | 1.1 x |")
    print(f"| bare `virsh create` to ssh | {of_bare:.1f} s | |")
    print(f"| each, ours/bare | {pairs} s | |")
    print(f"| load average at the end | {os.getloadavg()[0]:.1f} | |")


if __name__ == "__main__":
    main()
