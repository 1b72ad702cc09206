"""A trunk with a real guest, which has frames with tags at its virtio interface. The tests run in this order."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.hostnet.models import outer_name, tap_name
from tests.e2e.cloud import Cloud, Server, wait_for
from workers.cli.shell import inside

ADDRESS, GATEWAY, NUMBER = "10.78.0.10", "10.78.0.1", 100
PROGRAM = "/home/cirros/tag"


class Trunked:
    """A server whose port on the provider network is the parent; its subport's network has a router that answers."""

    def __init__(self, cloud: Cloud, program: Path) -> None:
        self.cloud, self.sdk, self._program = cloud, cloud.demo.sdk, program
        network = self.sdk.network
        self.group = network.create_security_group(name="trunked")
        rule = {"security_group_id": self.group.id, "direction": "ingress", "ether_type": "IPv4", "protocol": "tcp"}
        network.create_security_group_rule(**rule, port_range_min=22, port_range_max=22)
        self.network = network.create_network(name="inner")
        on = {"network_id": self.network.id}
        self.subnet = network.create_subnet(**on, ip_version=4, cidr="10.78.0.0/24")
        self.router = network.create_router(name="inner")
        network.add_interface_to_router(self.router, subnet=self.subnet.id)
        self.parent = network.create_port(network_id=cloud.network, security_groups=[self.group.id])
        fixed = [{"subnet_id": self.subnet.id, "ip_address": ADDRESS}]
        self.subport = network.create_port(**on, fixed_ips=fixed, security_groups=[self.group.id])
        self.trunk = network.create_trunk(port_id=self.parent.id, sub_ports=[self._below()])
        options = ["--image", "cirros", "--key-name", "mykey", "--nic", f"port-id={self.parent.id}"]
        made = cloud.demo("server", "create", "--flavor", "keywa.com", *options, "trunked")
        self.server: Server = cloud.built(str(made["id"]))
        self._bring()

    def _below(self) -> dict[str, object]:
        return {"port_id": self.subport.id, "segmentation_type": "vlan", "segmentation_id": NUMBER}

    def _bring(self) -> None:
        """The program, into the guest."""
        assert self.cloud.ssh(self.server, "hostname") == "trunked\n"
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "LogLevel=ERROR"]
        flags = [part for option in options for part in ("-o", option)]
        put = f"cat > {PROGRAM} && chmod 755 {PROGRAM} && sync"
        command = ["ssh", "-i", str(self.cloud.key), *flags, f"cirros@{self.server.address}", put]
        subprocess.run(inside(self.cloud.host, command), input=self._program.read_bytes(), check=True, timeout=60)

    def said(self, number: int = NUMBER, mac: str = "", address: str = ADDRESS) -> str:
        """What the program prints in the guest."""
        words = f"eth0 {number} {mac or self.subport.mac_address} {address} {GATEWAY}"
        return self.cloud.ssh(self.server, f"sudo {PROGRAM} {words} || true").strip()

    def answered(self) -> bool:
        return self.said().endswith(f"echo {NUMBER}")

    def status(self) -> str:
        return str(self.sdk.network.get_trunk(self.trunk.id).status)

    def is_active(self) -> bool:
        return self.status() == "ACTIVE"

    def add(self) -> None:
        self.sdk.network.add_trunk_subports(self.trunk, [self._below()])

    def take(self) -> None:
        self.sdk.network.delete_trunk_subports(self.trunk, [{"port_id": self.subport.id}])

    def interfaces(self) -> set[str]:
        links = self.cloud.links()
        names = (tap_name(self.parent.id), tap_name(self.subport.id), outer_name(self.subport.id))
        return {name for name in names if f" {name}" in links}

    def clear(self) -> None:
        network: Any = self.sdk.network
        self.sdk.compute.delete_server(self.server.id)
        wait_for(lambda: self.sdk.compute.find_server(self.server.id) is None, 60, "the server is gone")
        network.delete_trunk(self.trunk.id)
        for port in (self.parent, self.subport):
            network.delete_port(port)
        network.remove_interface_from_router(self.router, subnet_id=self.subnet.id)
        network.delete_router(self.router)
        network.delete_network(self.network)
        network.delete_security_group(self.group)


@pytest.fixture(scope="module")
def trunked(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trunked]:
    program = tmp_path_factory.mktemp("tag") / "tag"
    source = Path(__file__).with_name("tag.c")
    subprocess.run(["cc", "-static", "-O2", "-s", "-o", program, source], check=True)
    yield Trunked(cloud, program)


def test_a_guests_tagged_frames_reach_the_subports_network_and_answers_come_with_the_tag(trunked: Trunked) -> None:
    assert trunked.is_active(), "before its server is"
    said = trunked.said().split()
    router = next(iter(trunked.sdk.network.ports(device_id=trunked.router.id)))
    assert said == [str(NUMBER), router.mac_address, "echo", str(NUMBER)]
    for wrong in ({"number": 101}, {"mac": "fa:16:3e:00:00:01"}, {"address": "10.78.0.66"}):
        assert trunked.said(**wrong) == "no answer", wrong  # type: ignore[arg-type]
    shown = trunked.sdk.network.get_port(trunked.parent.id).trunk_details["sub_ports"]
    assert [(one["segmentation_id"], one["mac_address"]) for one in shown] == [(NUMBER, trunked.subport.mac_address)]


def test_a_subport_comes_and_goes_while_the_guest_runs(trunked: Trunked) -> None:
    trunked.take()
    wait_for(lambda: trunked.said() == "no answer", 20, "the subport is gone")
    assert trunked.interfaces() == {tap_name(trunked.parent.id)} and trunked.is_active()
    trunked.add()
    wait_for(trunked.is_active, 10, "the trunk is ACTIVE again")
    assert trunked.answered()
    trunked.sdk.network.update_trunk(trunked.trunk, is_admin_state_up=False)
    wait_for(lambda: trunked.said() == "no answer", 20, "a trunk that is disabled carries nothing")
    trunked.sdk.network.update_trunk(trunked.trunk, is_admin_state_up=True)
    wait_for(trunked.answered, 20, "it does again")


def test_a_trunk_lives_as_its_server_does(cloud: Cloud, trunked: Trunked) -> None:
    """The tap is another one each time; the worker is killed in between, and a subport was added meanwhile."""
    cloud.demo("server", "reboot", "--hard", "--wait", "trunked", answers=False)
    assert trunked.answered() and trunked.is_active()
    cloud.demo("server", "stop", "trunked", answers=False)
    wait_for(lambda: cloud.status(trunked.server.id) == "SHUTOFF", 60, "the server is off")
    wait_for(lambda: trunked.status() == "DOWN", 10, "its trunk is DOWN")
    trunked.take()
    os.kill(
        cloud.pid(next(name for name in cloud.supervised() if "compute" in name and "api" not in name)), signal.SIGKILL
    )
    trunked.add()
    cloud.demo("server", "start", "trunked", answers=False)
    wait_for(lambda: cloud.status(trunked.server.id) == "ACTIVE", 90, "the server runs")
    wait_for(trunked.is_active, 20, "its trunk is ACTIVE")
    assert trunked.answered()
    wait_for(lambda: cloud.leaks().returncode == 0, 60, "nothing leaked")


def test_nothing_is_left_of_it(cloud: Cloud, trunked: Trunked) -> None:
    trunked.clear()
    assert trunked.interfaces() == set()
    wait_for(lambda: cloud.leaks().returncode == 0, 60, "nothing leaked")
