"""Ports attached to and detached from servers: what reaches the workflow, what is refused and how."""

import uuid
from typing import Any

import pytest

from tests.compute.conftest import Api, Cloud
from tests.compute.test_boot import Lab


@pytest.fixture(scope="module")
def lab(cloud: Cloud, demo: Api) -> Lab:
    lab = Lab(cloud, "", "", "", "")
    lab.network, lab.other_network = lab.make_network(demo), lab.make_network(demo)
    return lab


def port(lab: Lab, user: Api, **about: Any) -> dict[str, Any]:
    made: dict[str, Any] = lab.ask(user, "network", "POST", "/v2.0/ports", {"port": about})["port"]
    return made


def held(port_id: str) -> dict[str, Any]:
    return {"port_id": port_id, "network_id": "n", "label": "net", "mac": "fa:16:3e:00:00:09", "fixed_ips": []}


def path(server: str) -> str:
    return f"/servers/{server}/os-interface"


def wish(**asked: Any) -> dict[str, Any]:
    return {"interfaceAttachment": asked}


def test_a_port_is_attached_and_detached(cloud: Cloud, lab: Lab, demo: Api) -> None:
    server = cloud.server(demo, host="node1")
    there = port(lab, demo, network_id=lab.network, device_id=server, device_owner="compute:nova")
    cloud.ledger.told["attach_interface"] = {"port_id": there["id"]}  # what the steps find out
    asked = wish(net_id=lab.network, fixed_ips=[{"ip_address": "10.9.0.77"}], tag="front")
    shown = demo.post(path(server), asked)["interfaceAttachment"]
    assert (shown["port_id"], shown["net_id"], shown["mac_addr"]) == (there["id"], lab.network, there["mac_address"])
    assert cloud.ledger.bodies[-1] == {
        "network_id": lab.network, "port_id": "", "fixed_ip": "10.9.0.77", "tag": "front",
    }  # fmt: skip
    own = port(lab, demo, network_id=lab.network)
    assert "tag" not in demo.post(path(server), wish(port_id=own["id"]), version="2.69")["interfaceAttachment"]
    assert cloud.ledger.bodies[-1]["port_id"] == own["id"]
    server = cloud.server(demo, host="node1", networks=[held(own["id"])])
    demo.delete(f"{path(server)}/{own['id']}", 202)
    assert (cloud.ledger.started[-1], cloud.ledger.bodies[-1]) == (
        (server, "detach_interface"),
        {"port_id": own["id"]},
    )


def test_the_only_network_is_taken_unasked(cloud: Cloud, lab: Lab, demo: Api, fresh: Api) -> None:
    server = cloud.server(fresh, host="node1")
    words = fresh.refused("POST", path(server), 400, json={})
    assert words == f"No specific network was requested and none are available for project '{fresh.project_id}'."
    only = lab.make_network(fresh)
    there = port(lab, fresh, network_id=only, device_id=server, device_owner="compute:nova")
    cloud.ledger.told["attach_interface"] = {"port_id": there["id"]}
    fresh.post(path(server), {})
    assert cloud.ledger.bodies[-1]["network_id"] == only
    mine = cloud.server(demo, host="node1")
    assert demo.refused("POST", path(mine), 400, json=wish()).startswith(
        "Multiple possible networks found, use a Network ID"
    )


@pytest.mark.parametrize(
    ("asked", "words", "version"),
    [
        ({"net_id": "x"}, "interfaceAttachment/net_id", "2.96"),
        ({"net_id": None}, "interfaceAttachment/net_id", "2.96"),
        ({"port_id": 1}, "interfaceAttachment/port_id", "2.96"),
        ({"fixed_ips": []}, "interfaceAttachment/fixed_ips", "2.96"),
        ({"fixed_ips": [{"ip_address": "10.9.0.7"}]}, "Must input network_id when request IP address", "2.96"),
        ({"net_id": str(uuid.uuid4()), "port_id": str(uuid.uuid4())}, "Must not input both network_id", "2.96"),
        ({"tag": "a,b"}, "interfaceAttachment/tag", "2.96"),
        ({"tag": "front"}, "'tag' was unexpected", "2.48"),
        ({"name": "x"}, "'name' was unexpected", "2.96"),
    ],
)
def test_what_cannot_be_asked(cloud: Cloud, demo: Api, asked: dict[str, Any], words: str, version: str) -> None:
    server = cloud.server(demo, host="node1")
    assert words in demo.refused("POST", path(server), 400, version, json=wish(**asked))
    assert server not in dict(cloud.ledger.started)


def test_what_is_not_there_in_use_or_not_the_servers(cloud: Cloud, lab: Lab, demo: Api, other: Api, admin: Api) -> None:
    server = cloud.server(demo, host="node1")
    nowhere = str(uuid.uuid4())

    def refused(status: int, user: Api = demo, **asked: Any) -> str:
        return user.refused("POST", path(server), status, json=wish(**asked))

    assert refused(404, net_id=nowhere) == f"Network {nowhere} could not be found."
    assert refused(404, port_id=nowhere) == f"Port id {nowhere} could not be found."
    used = port(lab, demo, network_id=lab.network, device_id="x", device_owner="compute:nova")
    assert refused(409, port_id=used["id"]) == f"Port {used['id']} is still in use."
    address = used["fixed_ips"][0]["ip_address"]
    words = refused(409, net_id=lab.network, fixed_ips=[{"ip_address": address}])
    assert words == f"Fixed IP address {address} is already in use on instance x."
    bare = lab.make_network(demo, cidr="")
    assert "requires a subnet" in refused(400, net_id=bare)
    assert "requires a FixedIP" in refused(400, port_id=port(lab, demo, network_id=bare)["id"])
    theirs = port(lab, other, network_id=lab.make_network(other))
    assert "could not be found" in refused(404, port_id=theirs["id"])
    assert f"not usable for instance {server}" in refused(400, admin, port_id=theirs["id"])
    outside = lab.make_network(admin, **{"router:external": True})
    assert "not allowed to create an interface on external network" in refused(403, net_id=outside)
    assert demo.refused("DELETE", f"{path(server)}/{nowhere}", 404) == f"Port id {nowhere} could not be found."
    other.refused("POST", path(server), 404, json=wish(net_id=lab.network))
    assert server not in dict(cloud.ledger.started)


def test_states_and_locks(cloud: Cloud, lab: Lab, demo: Api) -> None:
    suspended = cloud.server(demo, host="node1", vm_state="suspended", networks=[held("p")])
    words = demo.refused("POST", path(suspended), 409, json=wish(net_id=lab.network))
    assert words == f"Cannot 'attach_interface' instance {suspended} while it is in vm_state suspended"
    words = demo.refused("DELETE", f"{path(suspended)}/p", 409)
    assert words == f"Cannot 'detach_interface' instance {suspended} while it is in vm_state suspended"
    locked = cloud.server(demo, host="node1", locked=True, networks=[held("p")])
    for method, url, body in (("POST", path(locked), wish(net_id=lab.network)), ("DELETE", f"{path(locked)}/p", None)):
        assert demo.refused(method, url, 409, json=body) == f"Instance {locked} is locked"
