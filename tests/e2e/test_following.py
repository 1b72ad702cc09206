"""A port and a subnet changed behind a real guest's back, in a cloud whose network service tells of nothing: what the
tenant is shown, and what the guest itself sees."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.cloud import PREFIX, Cloud, Server, wait_for

NEW, DNS = f"{PREFIX}.177", f"{PREFIX}.253"
FILES = ("ec2/latest/meta-data.json", "openstack/latest/network_data.json")
DRIVE = "; ".join(
    ["sudo mount -o ro -t iso9660 /dev/sr0 /mnt", *(f"cat /mnt/{file}; echo" for file in FILES), "sudo umount /mnt"]
)
LOOK_S = 60


@pytest.fixture(scope="module")
def followed(cloud: Cloud) -> Iterator[str]:
    """With a group of its own: the tests after this one begin without rules."""
    network = cloud.demo.sdk.network
    group = network.create_security_group(name="followed")
    network.create_security_group_rule(security_group_id=group.id, direction="ingress", protocol="icmp")
    network.create_security_group_rule(
        security_group_id=group.id, direction="ingress", protocol="tcp", port_range_min=22, port_range_max=22
    )
    made = cloud.boot("followed", "--security-group", "followed")
    yield made
    cloud.demo("server", "delete", "--wait", made, answers=False)
    network.delete_security_group(group.id)


@pytest.fixture
def server(cloud: Cloud, followed: str) -> Server:
    """It, with the address that it has by now."""
    return cloud.built(followed)


def listed(cloud: Cloud, address: str) -> list[str]:
    found = cloud.admin.get(f"/servers?all_tenants=1&ip={address.replace('.', '[.]')}$")["servers"]
    return [one["id"] for one in found]


def rests(cloud: Cloud, server: Server) -> bool:
    shown = cloud.admin.get(f"/servers/{server.id}")["server"]
    return bool(shown["status"] == "ACTIVE" and shown["OS-EXT-STS:task_state"] is None)


def told(cloud: Cloud, server: Server) -> tuple[str, list[str]]:
    """Address and name servers of the guest's config drive."""
    ec2, network = (json.loads(line) for line in cloud.ssh(server, DRIVE).splitlines())
    return ec2["local-ipv4"], [each["address"] for each in network["services"]]


def test_a_guest_follows_what_nobody_told_of(cloud: Cloud, server: Server) -> None:
    admin, old = cloud.admin.sdk.network, server.address
    (port,) = admin.ports(device_id=server.id)
    subnet = admin.find_subnet("provider-subnet", ignore_missing=False)
    before = list(subnet.dns_nameservers)
    assert told(cloud, server) == (old, before) and listed(cloud, old) == [server.id]
    admin.update_port(port.id, fixed_ips=[{"subnet_id": subnet.id, "ip_address": NEW}])
    admin.update_subnet(subnet.id, dns_nameservers=[DNS])
    try:
        shown = cloud.admin.get(f"/servers/{server.id}")["server"]["addresses"]["provider"]
        assert [fixed["addr"] for fixed in shown] == [NEW], "shown as the port has it, whoever looked"
        wait_for(lambda: listed(cloud, NEW) == [server.id] and not listed(cloud, old), LOOK_S, "the record follows")
        wait_for(lambda: rests(cloud, server), LOOK_S, "the look is over")
        cloud.demo("server", "reboot", "--soft", "--wait", server.id, answers=False)
        moved = Server(server.id, server.name, NEW)
        assert told(cloud, moved) == (NEW, [DNS])
        assert DNS in cloud.ssh(moved, "cat /etc/resolv.conf"), "and by DHCP"
        assert not cloud.pings(old)
    finally:
        admin.update_subnet(subnet.id, dns_nameservers=before)


def test_a_guest_loses_the_interface_of_a_port_that_nobody_told_was_deleted(cloud: Cloud, server: Server) -> None:
    cards = "ls /sys/class/net | grep -c ^eth"
    cloud.demo("server", "add", "network", server.id, "provider", answers=False)
    assert wait_for(lambda: cloud.ssh(server, cards).strip() == "2", 60, "the guest has the second card")
    (second,) = [
        p for p in cloud.admin.sdk.network.ports(device_id=server.id) if p.fixed_ips[0]["ip_address"] != server.address
    ]
    cloud.demo("port", "delete", second.id, answers=False)
    wait_for(lambda: cloud.ssh(server, cards).strip() == "1", 90, "the guest has given the card back")
    wait_for(lambda: rests(cloud, server), LOOK_S, "the look is over")
    assert not listed(cloud, second.fixed_ips[0]["ip_address"])
    assert cloud.pings(server.address)
