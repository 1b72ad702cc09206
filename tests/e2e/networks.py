"""Two tenants with a router and a guest each, and a machine outside with a name server, in the end-to-end cloud."""

import base64
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

from infra.hostnet import netns
from infra.hostnet.store import Store
from tests.e2e.cloud import PREFIX, Cloud, wait_for
from tests.e2e.modes import PREFIXES, Modes
from tests.hostnet.conftest import ip, reaches

OUTSIDE, NAME = f"{PREFIX}.50", "site.example.org"
INNER, INNER6 = "10.77.0", "fd00:77::"
PAIR, PAIR6 = f"{INNER}.99", f"{INNER6}99"
METADATA = "http://169.254.169.254"
USER_DATA = "#!/bin/sh\necho told by the tenant\n"
LOG_IN = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=4", "BatchMode=yes"]


class World:
    """A machine on the provider network that is none of the cloud's, and resolves a name."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud, self.ns, bridges = cloud, f"{cloud.host.netns}-outside", cloud.host.netns
        netns.create(self.ns)
        ip(bridges, "link", "add", "uplink", "type", "veth", "peer", "name", "eth0", "netns", self.ns)
        ip(bridges, "link", "set", "uplink", "master", "br-provider", "up")
        ip(self.ns, "link", "set", "eth0", "up")
        ip(self.ns, "address", "add", f"{OUTSIDE}/24", "dev", "eth0")
        command = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", f"--address=/{NAME}/{OUTSIDE}"]
        command += [f"--listen-address={OUTSIDE}", "--bind-interfaces", "--conf-file=/dev/null", "--user=root"]
        self._resolver = netns.call(self.ns, lambda: subprocess.Popen(command))

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return netns.call(
            self.ns, lambda: subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        )

    def pings(self, address: str) -> bool:
        return self.run("ping", "-c1", "-W1", address).returncode == 0

    def reaches(self, address: str, port: int) -> bool:
        return reaches(self.ns, address, port)

    def ssh(self, address: str, script: str, port: int = 22, seconds: float = 60) -> str:
        """What the script prints in the guest that answers there, once it lets us in."""
        flags = [part for option in (*LOG_IN, "LogLevel=ERROR") for part in ("-o", option)]
        command = ["ssh", "-p", str(port), "-i", str(self.cloud.key), *flags, f"cirros@{address}", script]
        end = time.monotonic() + seconds
        while (done := self.run(*command)).returncode == 255:  # ssh's own: it did not get in
            assert time.monotonic() < end, f"no login at {address}: {done.stderr}"
            time.sleep(0.5)
        return done.stdout + done.stderr

    def close(self) -> None:
        self._resolver.terminate()
        self._resolver.wait()
        netns.remove(self.ns)


class Pings:
    """Pings from outside, five a second, for the block."""

    def __init__(self, world: World, address: str) -> None:
        command = ["ping", "-i", "0.2", address]
        self._last = float("-inf")
        self._process = netns.call(
            world.ns, lambda: subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        )
        self._reader = threading.Thread(target=self._read)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            if "bytes from" in line:
                self._last = time.monotonic()

    def answered(self, within_s: float = 0.5) -> bool:
        return time.monotonic() - self._last < within_s

    def __enter__(self) -> "Pings":
        self._reader.start()
        time.sleep(1)
        assert not self.answered(within_s=2), "pings get in before there is a rule"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.join()


class Tenant:
    """A project's network 10.77.0.0/24 and fd00:77::/64 behind a router, with one guest, whose port is always .10.
    Red's guest starts with a card on a network of each mode of DHCPv6, too.

    `shared`: a floating address whose ports are forwarded, once it was made."""

    shared: Any

    def __init__(self, cloud: Cloud, sdk: Any, name: str, key: str, modes: Modes) -> None:
        self.cloud, self.sdk, self.name, self.cards = cloud, sdk, name, list[str]()
        network = sdk.network
        self.group = network.create_security_group(name=name)
        self.allow(protocol="tcp", port_range_min=22, port_range_max=22)
        self.network = network.create_network(name=name)
        on = {"network_id": self.network.id}
        inner = network.create_subnet(**on, ip_version=4, cidr=f"{INNER}.0/24", dns_nameservers=[OUTSIDE])
        slaac = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
        inner6 = network.create_subnet(**on, ip_version=6, cidr=f"{INNER6}/64", **slaac)
        self.router = network.create_router(name=name, external_gateway_info={"network_id": cloud.network})
        for subnet in (inner, inner6):
            network.add_interface_to_router(self.router, subnet=subnet.id)
        fixed = [{"subnet_id": inner.id, "ip_address": f"{INNER}.10"}, {"subnet_id": inner6.id}]
        self.port = network.create_port(**on, fixed_ips=fixed, security_groups=[self.group.id])
        self.floating = network.create_ip(floating_network_id=cloud.network, port_id=self.port.id)
        image, told = sdk.image.find_image("cirros").id, base64.b64encode(USER_DATA.encode()).decode()
        ports = [self.port.id, *(self._card(modes, mode) for mode in PREFIXES if name == "red")]
        more = {"networks": [{"port": each} for each in ports], "key_name": key, "user_data": told}
        self.server_id = str(sdk.compute.create_server(name=name, image_id=image, flavor_id="0", **more).id)

    @property
    def address(self) -> str:
        return str(self.floating.floating_ip_address)

    def inside(self, script: str, world: World, seconds: float = 60) -> str:
        """What the script prints in the guest, which is reached by its floating address."""
        return world.ssh(self.address, script, seconds=seconds)

    @property
    def address6(self) -> str:
        return next(str(f["ip_address"]) for f in self.port.fixed_ips if ":" in f["ip_address"])

    def _card(self, modes: Modes, mode: str) -> str:
        self.cards.append(modes.port(mode, self.name, self.sdk.network, self.group.id))
        return self.cards[-1]

    def attach(self, modes: Modes) -> None:
        """A card on each of those networks, while the guest runs."""
        for mode in PREFIXES:
            self.sdk.compute.create_server_interface(self.server_id, port_id=self._card(modes, mode))

    def is_active(self) -> bool:
        return bool(self.sdk.network.get_ip(self.floating.id).status == "ACTIVE")

    def allow(self, **rule: Any) -> Any:
        more = {"direction": "ingress", "ether_type": "IPv4", **rule}
        return self.sdk.network.create_security_group_rule(security_group_id=self.group.id, **more)

    def forward(self, shared: Any, external_port: int) -> Any:
        """The port of a floating address to the guest's ssh."""
        to = {"internal_port": 22, "internal_port_id": self.port.id, "internal_ip_address": f"{INNER}.10"}
        create = self.sdk.network.create_floating_ip_port_forwarding
        return create(shared, protocol="tcp", external_port=external_port, **to)

    def pairs(self, *pairs: dict[str, str]) -> None:
        self.sdk.network.update_port(self.port.id, allowed_address_pairs=list(pairs))

    def clear(self) -> None:
        """Delete everything of the tenant; what is gone is fine."""
        network, compute = self.sdk.network, self.sdk.compute
        compute.delete_server(self.server_id)
        wait_for(lambda: compute.find_server(self.server_id) is None, 60, "the server is gone")
        for address in list(network.ips(project_id=self.network.project_id)):
            network.delete_ip(address)
        for port in (self.port.id, *self.cards):
            network.delete_port(port)
        if network.find_router(self.router.id):
            network.update_router(self.router, routes=[])
        for port in list(network.ports(device_id=self.router.id, device_owner="network:router_interface")):
            network.remove_interface_from_router(self.router.id, port=port.id)
        network.delete_router(self.router)
        network.delete_network(self.network)
        network.delete_security_group(self.group)


@contextlib.contextmanager
def tenants(cloud: Cloud, modes: Modes) -> Iterator[tuple[Tenant, Tenant]]:
    """Both with an ACTIVE server; nothing is left of them afterwards."""
    public = cloud.key.with_suffix(".pub").read_text()
    cloud.admin.sdk.compute.create_keypair(name="blue", public_key=public)
    red = Tenant(cloud, cloud.demo.sdk, "red", "mykey", modes)
    blue = Tenant(cloud, cloud.admin.sdk, "blue", "blue", modes)
    for each in (red, blue):
        cloud.built(each.server_id)
    blue.attach(modes)
    yield red, blue
    for each in (red, blue):
        each.clear()
    cloud.admin.sdk.compute.delete_keypair("blue")


def kill(*pids: int) -> None:
    assert pids
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            os.kill(pid, signal.SIGKILL)


def _router(cloud: Cloud, tenant: Tenant) -> str:
    return Store(cloud.host).space_name("router", tenant.router.id)


def routes(cloud: Cloud, tenant: Tenant) -> str:
    """What the tenant's router does with packets; "" without one."""
    space = _router(cloud, tenant)
    return netns.run(space, ["ip", "route"]) if netns.path(space).exists() else ""


def damage(cloud: Cloud, tenant: Tenant) -> None:
    """Take the floating address and the translation of every address from the router."""
    space = _router(cloud, tenant)
    outer = netns.run(space, ["ip", "-o", "route", "show", "default"]).split(" dev ")[1].split()[0]
    ip(space, "address", "delete", f"{tenant.address}/32", "dev", outer)
    netns.run(space, ["nft", "flush", "map", "inet", "kilonova", "floating"])


def places(cloud: Cloud, tenant: Tenant) -> list[str]:
    """Namespaces of the tenant's router and network."""
    store = Store(cloud.host)
    names = (store.space_name("router", tenant.router.id), store.space_name("net", tenant.network.id))
    return [name for name in names if netns.path(name).exists()]
