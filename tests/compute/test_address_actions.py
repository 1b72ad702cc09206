"""Addresses given to a server and taken from it by its actions, as before 2.44, and consoles as before 2.6."""

import uuid
from typing import Any

import httpx
import pytest

from tests.compute.cards import card
from tests.compute.conftest import HTTP, Api, Cloud
from tests.compute.test_floating import Json, led

__all__ = ["led"]
OLD = "2.43"


def act(user: Api, server: str, action: str, **body: Any) -> None:
    user.post(f"/servers/{server}/action", {action: body}, 202, OLD)


def refused(user: Api, server: str, status: int, action: str, version: str = OLD, **body: Any) -> str:
    return user.refused("POST", f"/servers/{server}/action", status, version, json={action: body})


def look(cloud: Cloud, user: Api, path: str) -> Json:
    url, headers = cloud.settings.url("network", f"/v2.0/{path}"), {"X-Auth-Token": user.token}
    return dict(httpx.get(url, headers=headers, **HTTP).json())


def addresses(cloud: Cloud, user: Api, port_id: str) -> list[str]:
    return [fixed["ip_address"] for fixed in look(cloud, user, f"ports/{port_id}")["port"]["fixed_ips"]]


@pytest.fixture
def placed(cloud: Cloud, demo: Api) -> tuple[str, Json]:
    """A server, and what its record keeps of its port."""
    server = cloud.server(demo, host="node1")
    port = card(cloud, demo, server, "192.168.56.50")
    with cloud.database.write() as session:
        row = cloud.row(server)
        row.networks = [port]
        session.add(row)
    return server, port


def test_one_more_fixed_address_and_less(cloud: Cloud, demo: Api, placed: tuple[str, Json]) -> None:
    server, port = placed
    act(demo, server, "addFixedIp", networkId=port["network_id"])
    first, (second,) = "192.168.56.50", {*addresses(cloud, demo, port["port_id"])} - {"192.168.56.50"}
    act(demo, server, "removeFixedIp", address=first)
    assert addresses(cloud, demo, port["port_id"]) == [second]
    words = refused(demo, server, 400, "removeFixedIp", address=first)
    assert words == f"Instance {server} does not have fixed IP '{first}'."
    for nowhere in (str(uuid.uuid4()), "x", 5):
        words = refused(demo, server, 404, "addFixedIp", networkId=nowhere)
        assert words == f"Network could not be found for instance {server}."
    for body in ({}, {"networkId": ""}, {"networkId": "x" * 37}, {"networkId": port["network_id"], "more": 1}):
        refused(demo, server, 400, "addFixedIp", **body)
    refused(demo, server, 400, "removeFixedIp", address="x")


def test_fixed_addresses_of_a_locked_or_a_foreign_server(
    cloud: Cloud, demo: Api, other: Api, placed: tuple[str, Json]
) -> None:
    server, port = placed
    refused(other, server, 404, "addFixedIp", networkId=port["network_id"])
    demo.post(f"/servers/{server}/action", {"lock": None}, 202)
    locked = cloud.server(demo, locked=True, locked_by="admin", networks=[port])
    assert "is locked" in refused(demo, locked, 409, "addFixedIp", networkId=port["network_id"])
    assert "is locked" in refused(demo, locked, 409, "removeFixedIp", address="192.168.56.50")
    assert addresses(cloud, demo, port["port_id"]) == ["192.168.56.50"]


def test_a_floating_address(cloud: Cloud, demo: Api, led: tuple[str, Json, Json]) -> None:
    server, port, floating = led
    address, fixed = floating["floating_ip_address"], port["fixed_ips"][0]["ip_address"]

    def leads_to() -> tuple[str | None, str | None]:
        found = look(cloud, demo, f"floatingips/{floating['id']}")["floatingip"]
        return found["port_id"], found["fixed_ip_address"]

    for more in ({}, {"fixed_address": fixed}):
        act(demo, server, "addFloatingIp", address=address, **more)
        assert leads_to() == (port["id"], fixed)
    another = cloud.server(demo)
    apart = f"Floating IP {address} is not associated with instance {another}."
    assert refused(demo, another, 409, "removeFloatingIp", address=address) == apart
    assert leads_to()[0] == port["id"]
    act(demo, server, "removeFloatingIp", address=address)
    assert leads_to() == (None, None)
    assert "is not associated with instance" in refused(demo, server, 409, "removeFloatingIp", address=address)
    for action in ("addFloatingIp", "removeFloatingIp"):
        words = refused(demo, server, 404, action, address="203.0.113.250")
        assert words.lower().startswith("floating ip not found")
    words = refused(demo, server, 400, "addFloatingIp", address=address, fixed_address="10.9.9.9")
    assert words == "Specified fixed address not assigned to instance"
    assert refused(demo, another, 400, "addFloatingIp", address=address) == "Instance network is not ready yet"
    six = [{"port_id": port["id"], "network_id": "n", "label": "six", "mac": port["mac_address"]}]
    without = cloud.server(demo, networks=[six[0] | {"fixed_ips": []}])
    assert refused(demo, without, 400, "addFloatingIp", address=address) == "No fixed IPs associated to instance"
    alone = cloud.server(demo, networks=[six[0] | {"fixed_ips": ["fd00::5"]}])
    assert "Instance has no fixed IPv4 addresses" in refused(demo, alone, 400, "addFloatingIp", address=address)


def test_after_their_last_microversion(demo: Api, placed: tuple[str, Json]) -> None:
    for action in ("addFixedIp", "removeFixedIp", "addFloatingIp", "removeFloatingIp"):
        refused(demo, placed[0], 404, action, "2.44", address="192.0.2.1")


def test_consoles_that_no_host_has(cloud: Cloud, demo: Api) -> None:
    server = cloud.server(demo, host="node1", power_state=1)
    words = refused(demo, server, 400, "os-getSPICEConsole", "2.5", type="spice-html5")
    assert words == "Unavailable console type spice-html5."
    assert "type" in refused(demo, server, 400, "os-getSPICEConsole", "2.5", type="x")
    refused(demo, server, 410, "os-getRDPConsole", "2.5", type="rdp-html5")
    for action in ("os-getSPICEConsole", "os-getRDPConsole"):
        refused(demo, server, 404, action, "2.6", type="spice-html5")
