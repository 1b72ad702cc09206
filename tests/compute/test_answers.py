"""Answers that clients tripped over: each as Nova gives it."""

import base64
import re
from typing import Any

import pytest

from api.compute import limits
from api.compute.records import reports
from api.compute.schemas.services import HostReport
from infra.host.libvirt.inventory import uptime
from tests.compute.conftest import Api, Cloud
from tests.compute.test_boot import Lab, lab

__all__ = ["lab"]


def test_an_address_is_a_regular_expression_even_when_it_is_whole(cloud: Cloud, fresh: Api) -> None:
    for last in (1, 10, 20):
        network = {"port_id": "p", "network_id": "n", "label": "net", "mac": "m", "fixed_ips": [f"192.0.2.{last}"]}
        cloud.server(fresh, name=f"at-{last}", networks=[network])

    def found(ip: str) -> set[str]:
        return {server["name"] for server in fresh.get("/servers", ip=ip)["servers"]}

    assert found("192.0.2.1") == {"at-1", "at-10"}
    assert found("192.0.2.1$") == {"at-1"}
    assert found("192.0.2.(10|20)") == {"at-10", "at-20"}


def test_a_text_of_501_names_what_is_missing(demo: Api) -> None:
    words = demo.refused("GET", "/os-instance_usage_audit_log", 501)
    assert words == "GET /os-instance_usage_audit_log is not implemented."


def test_a_server_has_no_numa_nodes(demo: Api, other: Api, cloud: Cloud) -> None:
    server = cloud.server(demo)
    assert demo.get(f"/servers/{server}/topology") == {"nodes": [], "pagesize_kb": None}
    other.refused("GET", f"/servers/{server}/topology", 404)
    demo.get(f"/servers/{server}/topology", 404, version="2.77")


def test_the_console_log_has_no_control_characters(demo: Api, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    async def output(instance_id: str, length: int | None) -> str:
        return "a\x1b[31mb\x9b31mc\x07\x85\x7fd\te\r\nf"

    monkeypatch.setattr(cloud.ledger, "console_output", output)
    server = cloud.server(demo, host="h")
    shown = demo.post(f"/servers/{server}/action", {"os-getConsoleOutput": {}})["output"]
    assert shown == "a[31mb31mcd\te\nf"


def test_user_data_may_have_line_breaks(lab: Lab, demo: Api) -> None:
    text = base64.encodebytes(b"#!/bin/sh\n" * 20).decode()
    assert "\n" in text
    demo.post("/servers", lab.server(user_data=text), 202)
    data = lab.cloud.ledger.booted[-1].user_data
    assert data is not None and base64.b64decode(data, validate=True) == b"#!/bin/sh\n" * 20


def test_a_server_shows_the_config_drive_that_it_has(lab: Lab, demo: Api) -> None:
    server = demo.post("/servers", lab.server(), 202)["server"]["id"]
    assert demo.get(f"/servers/{server}")["server"]["config_drive"] == "True"


def test_several_servers_share_no_volume(lab: Lab, demo: Api) -> None:
    disk = {"source_type": "volume", "destination_type": "volume", "uuid": "a" * 32, "boot_index": 0}
    body = lab.server(min_count=2, block_device_mapping_v2=[disk], imageRef="")
    words = demo.refused("POST", "/servers", 400, json=body)
    assert words == "Cannot attach one or more volumes to multiple instances"


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"networks": [{"uuid": "a" * 32}] * (limits.NICS + 1)}, limits.NICS_WORDS),
        (
            {
                "block_device_mapping_v2": [
                    {"source_type": "blank", "destination_type": "volume", "volume_size": 1, "boot_index": -1}
                ]
                * (limits.DISKS + 1)
            },
            limits.DISKS_WORDS,
        ),
    ],
)
def test_limits_of_one_server(lab: Lab, demo: Api, wish: dict[str, Any], words: str) -> None:
    assert demo.refused("POST", "/servers", 403, json=lab.server(**wish)) == words


def test_limits_of_a_flavor_and_of_a_key(admin: Api, demo: Api) -> None:
    admin.post("/flavors", {"flavor": {"name": "many", "ram": 1, "vcpus": 1, "disk": 1, "id": "many"}})
    specs = {f"k{n}": "v" for n in range(limits.EXTRA_SPECS + 1)}
    words = admin.refused("POST", "/flavors/many/os-extra_specs", 403, json={"extra_specs": specs})
    assert words == limits.EXTRA_SPECS_WORDS
    body = {"keypair": {"name": "large", "public_key": "ssh-rsa " + "A" * limits.PUBLIC_KEY}}
    assert "public_key" in demo.refused("POST", "/os-keypairs", 400, json=body)


def test_links_are_quoted(admin: Api, demo: Api, cloud: Cloud) -> None:
    admin.post("/flavors", {"flavor": {"name": "with space", "ram": 1, "vcpus": 1, "disk": 1, "id": "a b"}})
    assert admin.get("/flavors/a b")["flavor"]["links"][0]["href"].endswith("/flavors/a%20b")
    server = cloud.server(demo)
    answer = demo.http.put(f"/servers/{server}/tags/日本 x", headers={"OpenStack-API-Version": "compute 2.104"})
    assert answer.status_code == 201 and answer.headers["Location"].endswith("/tags/%E6%97%A5%E6%9C%AC%20x")


def test_the_zone_shown_is_the_hosts(cloud: Cloud, demo: Api) -> None:
    cloud.host("zoned-host", zone="zone-b")
    server = cloud.server(demo, host="zoned-host", availability_zone=None)
    waiting = cloud.server(demo, vm_state="building", availability_zone="zone-c")
    key = "OS-EXT-AZ:availability_zone"
    assert demo.get(f"/servers/{server}")["server"][key] == "zone-b"
    assert demo.get(f"/servers/{waiting}")["server"][key] == "zone-c"
    listed = {each["id"]: each[key] for each in demo.get("/servers/detail")["servers"]}
    assert (listed[server], listed[waiting]) == ("zone-b", "zone-c")


def test_a_fault_tells_hosts_to_admins_only(cloud: Cloud, demo: Api, admin: Api) -> None:
    cloud.host("secret-1")
    message = "No room (spawn on secret-1); secret-10 was not asked"
    fault = {"code": 400, "message": message, "details": "secret-1: full", "created": "2026-01-01T00:00:00Z"}
    server = cloud.server(demo, vm_state="error", fault=fault)
    shown = demo.get(f"/servers/{server}")["server"]["fault"]
    assert shown["message"] == "No room (spawn on its host); secret-10 was not asked" and "details" not in shown
    assert admin.get(f"/servers/{server}")["server"]["fault"] == fault
    listed = {each["id"]: each.get("fault") for each in demo.get("/servers/detail")["servers"]}
    assert listed[server] == shown


def test_a_host_that_tells_no_uptime(cloud: Cloud, admin: Api, service: Api) -> None:
    report = {"vcpus": 1, "memory_mb": 1, "disk_gb": 1}
    with cloud.database.write() as session:
        reports.heartbeat(session, "mute-host", HostReport(**report))
    number = next(
        node["id"]
        for node in admin.get("/os-hypervisors", version="2.52")["hypervisors"]
        if node["hypervisor_hostname"] == "mute-host"
    )
    words = admin.refused("GET", f"/os-hypervisors/{number}/uptime", 501, version="2.52")
    assert words == "Host mute-host does not report its uptime."


def test_uptime_is_what_clients_take_apart() -> None:
    """The expression is that of the openstack client's `hypervisor show`."""
    assert re.match(r"\s*(.+)\sup\s+(.+),\s+(.+)\susers?,\s+load average:\s(.+)", uptime())


@pytest.mark.parametrize(
    ("hostname", "version", "status"),
    [
        ("web-1", "2.93", 202),
        ("web.example.org", "2.93", 400),
        ("web_1", "2.93", 400),
        ("-web", "2.93", 400),
        ("w" * 64, "2.93", 400),
        ("web.example.org", "2.94", 202),
        ("web example", "2.94", 400),
        ("web", "2.89", 400),
    ],
)
def test_host_names(lab: Lab, demo: Api, cloud: Cloud, hostname: str, version: str, status: int) -> None:
    demo.post("/servers", lab.server(hostname=hostname), status, version=version)
    server = cloud.server(demo)
    expected = 200 if status == 202 else 400
    demo.call("PUT", f"/servers/{server}", expected, version, json={"server": {"hostname": hostname}})
