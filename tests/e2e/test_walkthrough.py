"""The seeds' flow from `server create` to `server delete`, as typed, on real guests. The tests run in this order."""

import os
import re
import signal

import httpx
import pytest

from tests.e2e.cloud import PREFIX, Cloud, Server, wait_for

MARK = "written by the guest"


@pytest.fixture(scope="module")
def demo_instance(cloud: Cloud) -> Server:
    return cloud.built(cloud.boot("demo-instance", "--security-group", "default"))


def console_log(cloud: Cloud, server: Server) -> str:
    answer = cloud.demo.sdk.compute.get_server_console_output(server.id)
    return str(answer["output"])


def test_nobody_gets_in_until_rules_let_them_and_then_at_once(cloud: Cloud, demo_instance: Server) -> None:
    assert demo_instance.address.startswith(f"{PREFIX}.")
    wait_for(lambda: "demo-instance login:" in console_log(cloud, demo_instance), 90, "the guest's login")
    assert not cloud.pings(demo_instance.address)
    cloud.demo("security", "group", "rule", "create", "--proto", "icmp", "default")
    wait_for(lambda: cloud.pings(demo_instance.address), 10, "the rule applies to the running guest")
    cloud.demo("security", "group", "rule", "create", "--proto", "tcp", "--dst-port", "22", "default")
    assert cloud.ssh(demo_instance, "hostname", seconds=15).strip() == "demo-instance"


def test_the_guest_reaches_its_gateway(cloud: Cloud, demo_instance: Server) -> None:
    assert " 0% packet loss" in cloud.ssh(demo_instance, f"ping -c 2 {PREFIX}.2")


def test_what_the_client_shows(cloud: Cloud, demo_instance: Server) -> None:
    (listed,) = [row for row in cloud.demo("server", "list") if row["Name"] == "demo-instance"]
    assert (listed["Status"], listed["Networks"]) == ("ACTIVE", {"provider": [demo_instance.address]})
    events = cloud.demo("server", "event", "list", "demo-instance")
    assert [event["Action"] for event in events] == ["create"]
    request = cloud.demo.get(f"/servers/{demo_instance.id}/os-instance-actions/{events[0]['Request ID']}")
    steps = [event["event"] for event in request["instanceAction"]["events"]]
    assert {"claim_host", "fetch_to_host", "plug_ports", "spawn"} <= set(steps)
    assert {event["result"] for event in request["instanceAction"]["events"]} == {"Success"}


def test_consoles(cloud: Cloud, demo_instance: Server) -> None:
    assert "demo-instance login:" in console_log(cloud, demo_instance)
    url = cloud.demo("console", "url", "show", "demo-instance")["url"]
    page = httpx.get(url, follow_redirects=True)
    assert page.status_code == 200 and "noVNC" in page.text


def test_a_build_with_a_volume_outlives_its_compute_worker_and_libvirtd(cloud: Cloud) -> None:
    volume = cloud.demo("volume", "create", "--size", "1", "data")["id"]
    wait_for(lambda: cloud.demo.sdk.block_storage.get_volume(volume).status == "available", 30, "the volume is made")
    device = f"uuid={volume},source_type=volume,destination_type=volume,boot_index=-1"
    mine = cloud.settings.state_dir / "failpoints" / "spawn.after"
    mine.parent.mkdir(exist_ok=True)
    mine.touch()  # kills the worker when the guest runs, before anybody is told
    worker, daemon = cloud.pid("worker-compute"), cloud.pid("libvirtd")
    server_id = cloud.boot("survivor", "--block-device", device)
    wait_for(lambda: not mine.exists(), 60, "the worker reaches the step", every_s=0.01)
    os.kill(daemon, signal.SIGKILL)
    server = cloud.built(server_id)
    assert cloud.pid("worker-compute") != worker and cloud.pid("libvirtd") != daemon
    assert len(cloud.qemu_pids(server_id)) == 1
    assert cloud.demo.sdk.block_storage.get_volume(volume).status == "in-use"
    script = f"hostname; echo '{MARK}' | sudo dd of=/dev/vdb conv=fsync 2>/dev/null; sudo head -c {len(MARK)} /dev/vdb"
    assert cloud.ssh(server, script).split("\n") == ["survivor", MARK]


def test_a_guest_that_dies_is_seen(cloud: Cloud, demo_instance: Server) -> None:
    (qemu,) = cloud.qemu_pids(demo_instance.id)
    os.kill(qemu, signal.SIGKILL)
    wait_for(lambda: cloud.status(demo_instance.id) == "SHUTOFF", 30, "the server is SHUTOFF")


def test_delete_leaves_nothing(cloud: Cloud, demo_instance: Server) -> None:
    (port,) = cloud.admin.sdk.network.ports(device_id=demo_instance.id)
    mac = port.mac_address
    before = cloud.traces(demo_instance, mac)
    for what in ("domain", "DHCP entry", "/instances/", "/ports/"):  # else the search after it would prove nothing
        assert any(what in trace for trace in before), (what, before)
    cloud.demo("server", "delete", "demo-instance")
    wait_for(lambda: not list(cloud.demo.sdk.compute.servers(name="^demo-instance$")), 60, "the server is gone")
    # A poll of the network's state that began before the delete may write a DHCP entry once more; the next removes it.
    wait_for(lambda: not cloud.traces(demo_instance, mac), 15, "the host has nothing of it")
    assert list(cloud.admin.sdk.network.ports(device_id=demo_instance.id)) == []


def test_nothing_leaked(cloud: Cloud) -> None:
    done = cloud.leaks()
    assert done.returncode == 0, done.stdout
    assert re.search(r"^0 leaks, 0 repaired, 1 servers$", done.stdout, re.MULTILINE), done.stdout


def test_down_leaves_nothing_and_up_brings_guests_and_their_volumes_back(cloud: Cloud) -> None:
    before = [row["ID"] for row in cloud.demo("server", "list")]
    down = cloud.kilonova("down")
    assert down.returncode == 0, down.stdout
    assert cloud.remains() == []
    up = cloud.kilonova("up", "--no-image", "--demo-objects")
    assert up.returncode == 0, up.stdout + up.stderr
    assert [row["ID"] for row in cloud.demo("server", "list")] == before != []
    assert [row["Name"] for row in cloud.demo("keypair", "list")] == ["demo-key", "mykey"], "all else was there"
    assert cloud.demo("image", "show", "cirros")["status"] == "active"
    assert cloud.demo("network", "show", "provider")["id"] == cloud.network
    wait_for(lambda: cloud.demo("server", "show", before[0])["status"] == "ACTIVE", 60, "its host started it again")
    server = cloud.built(before[0])
    shown = cloud.ssh(server, f"hostname; sudo head -c {len(MARK)} /dev/vdb")
    assert shown.split("\n") == [server.name, MARK] == ["survivor", MARK]
    volume = cloud.demo("volume", "show", "data")["id"]
    cloud.demo("server", "delete", "--wait", "survivor")
    wait_for(lambda: cloud.demo.sdk.block_storage.get_volume(volume).status == "available", 30, "it is detached")
    (file,) = [path for path in cloud.settings.state_dir.joinpath("volumes").rglob(f"*{volume}*") if path.is_file()]
    with file.open("rb") as stored:
        assert stored.read(len(MARK)) == MARK.encode()
    cloud.demo("volume", "delete", volume)
