"""The walkthrough's network commands, typed at the unmodified `openstack` client."""

import json
import os
import shlex
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.network.conftest import Cloud
from tests.signed_in import environment

Run = Callable[[str, str], Any]


@pytest.fixture
def run(cloud: Cloud, openstack_client: str) -> Run:
    return lambda user, command: ran(cloud, openstack_client, user, command)


def ran(cloud: Cloud, program: str, user: str, command: str) -> Any:
    """The command's JSON, None when it prints nothing; fails with its words when it fails."""
    words = shlex.split(command)
    silent = {"delete", "set"} & set(words)
    done = subprocess.run(
        [program, *words, *(() if silent else ("-f", "json"))],
        env=os.environ | environment(cloud.settings, user),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return json.loads(done.stdout) if done.stdout.strip() else None


def test_walkthrough(run: Run) -> None:
    network = run(
        "admin",
        "network create --share --external --provider-physical-network provider --provider-network-type flat provider",
    )
    assert network["router:external"] is True and network["shared"] is True
    assert network["provider:network_type"] == "flat"
    subnet = run(
        "admin",
        "subnet create --network provider --allocation-pool start=192.168.56.100,end=192.168.56.200 "
        "--dns-nameserver 192.168.56.2 --gateway 192.168.56.2 --subnet-range 192.168.56.0/24 provider-subnet",
    )
    assert subnet["allocation_pools"] == [{"start": "192.168.56.100", "end": "192.168.56.200"}]
    rule = run("demo", "security group rule create --proto icmp default")
    assert (rule["protocol"], rule["remote_ip_prefix"]) == ("icmp", "0.0.0.0/0")
    ssh = run("demo", "security group rule create --proto tcp --dst-port 22 default")
    assert (ssh["port_range_min"], ssh["port_range_max"]) == (22, 22)
    assert [group["Name"] for group in run("demo", "security group list")] == ["default"]
    listed = next(one for one in run("demo", "network list") if one["Name"] == "provider")
    assert listed["Subnets"] == [subnet["id"]]
    port = run("demo", "port create --network provider --tag blue p1")
    assert port["fixed_ips"][0]["ip_address"] == "192.168.56.100" and port["tags"] == ["blue"]
    listed_port = run("admin", "port list --network provider --device-owner ''")
    assert [one["ID"] for one in listed_port] == [port["id"]]
    run("demo", "port delete p1")
    run("admin", "network delete provider")


def test_a_tenants_own_network(run: Run) -> None:
    run("demo", "network create own")
    run("demo", "subnet create --network own --subnet-range 10.4.0.0/24 own-subnet")
    group = run("demo", "security group create sg2")
    assert len(group["rules"]) == 2
    port = run("demo", "port create --network own --fixed-ip ip-address=10.4.0.9 --security-group sg2 p2")
    assert port["security_group_ids"] == [group["id"]]
    run("demo", "port set --no-security-group --name p3 p2")
    run("demo", "port delete p3")
    run("demo", "security group delete sg2")
    run("demo", "network delete own")
