"""Trunks, their subports, and what a parent port shows of them."""

from typing import Any

from tests.network.conftest import Api

Json = dict[str, Any]


def act(api: Api, trunk: Json, action: str, status: int, *subports: Json) -> Any:
    answer = api.http.put(f"/trunks/{trunk['id']}/{action}", json={"sub_ports": list(subports)})
    assert answer.status_code == status, answer.text
    return answer.json() if status == 200 else answer.json()["NeutronError"]


def vlan(port: Json, number: int) -> Json:
    return {"port_id": port["id"], "segmentation_type": "vlan", "segmentation_id": number}


def test_a_trunk_and_its_subports(demo: Api, other: Api) -> None:
    network = demo.network()
    parent, one, two = (demo.port(network) for _ in range(3))
    trunk = demo.post("/trunks", "trunk", port_id=parent["id"], name="t", tags=["x"], sub_ports=[vlan(one, 100)])
    assert trunk["status"] == "DOWN" and trunk["sub_ports"] == [vlan(one, 100)] and trunk["tags"] == ["x"]
    details = demo.get(f"/ports/{parent['id']}")["port"]["trunk_details"]
    assert details == {"trunk_id": trunk["id"], "sub_ports": [vlan(one, 100) | {"mac_address": one["mac_address"]}]}
    assert "trunk_details" not in demo.get(f"/ports/{one['id']}")["port"]
    assert demo.get(f"/ports/{one['id']}")["port"]["device_owner"] == "trunk:subport"
    assert len(act(demo, trunk, "add_subports", 200, vlan(two, 200))["sub_ports"]) == 2
    assert demo.get(f"/trunks/{trunk['id']}/get_subports")["sub_ports"] == [vlan(one, 100), vlan(two, 200)]
    assert demo.delete(f"/ports/{parent['id']}", 409)["type"] == "PortInUseAsTrunkParent"
    assert demo.delete(f"/ports/{one['id']}", 409)["type"] == "PortInUseAsSubPort"
    left = act(demo, trunk, "remove_subports", 200, {"port_id": one["id"]})
    assert left["sub_ports"] == [vlan(two, 200)]
    assert act(demo, trunk, "remove_subports", 404, {"port_id": one["id"]})["type"] == "SubPortNotFound"
    act(other, trunk, "add_subports", 404, vlan(one, 7))
    assert demo.get("/trunks", port_id=parent["id"], status="DOWN")["trunks"][0]["id"] == trunk["id"]
    assert demo.get("/trunks", status="ACTIVE")["trunks"] == []
    demo.delete(f"/trunks/{trunk['id']}")
    assert demo.get(f"/ports/{two['id']}")["port"]["device_owner"] == ""
    demo.delete(f"/ports/{parent['id']}")


def test_refusals(demo: Api, service: Api) -> None:
    network, narrow = demo.network(mtu=1400), demo.network()
    parent, one, two = (demo.port(network) for _ in range(3))
    trunk = demo.post("/trunks", "trunk", port_id=parent["id"], sub_ports=[vlan(one, 100)])
    assert demo.post("/trunks", "trunk", 409, port_id=parent["id"])["type"] == "ParentPortInUse"
    assert demo.post("/trunks", "trunk", 409, port_id=one["id"])["type"] == "TrunkPortInUse"
    assert act(demo, trunk, "add_subports", 409, vlan(two, 100))["type"] == "DuplicateSubPort"
    for again in (vlan(one, 7), vlan(one, 100)):
        assert act(demo, trunk, "add_subports", 409, again)["type"] == "TrunkPortInUse"
    assert act(demo, trunk, "add_subports", 409, vlan(parent, 7))["type"] == "ParentPortInUse"
    wide = act(demo, trunk, "add_subports", 409, vlan(demo.port(narrow), 7))
    assert wide["type"] == "SubPortMtuGreaterThanTrunkPortMtu"
    busy = demo.port(network, device_id="vm")
    assert act(demo, trunk, "add_subports", 409, vlan(busy, 7))["type"] == "PortInUse"
    act(demo, trunk, "add_subports", 400, {"port_id": two["id"], "segmentation_type": "vlan", "segmentation_id": 4095})
    demo.put(f"/trunks/{trunk['id']}", "trunk", admin_state_up=False)
    assert act(demo, trunk, "add_subports", 409, vlan(two, 200))["type"] == "TrunkDisabled"
    service.put(f"/ports/{parent['id']}", "port", **{"binding:host_id": "host-trunk"})
    assert demo.delete(f"/trunks/{trunk['id']}", 409)["type"] == "TrunkInUse"
    assert demo.post("/trunks", "trunk", 404, port_id=trunk["id"])["type"] == "PortNotFound"
    bound = demo.port(network)
    service.put(f"/ports/{bound['id']}", "port", **{"binding:host_id": "host-trunk"})
    assert demo.post("/trunks", "trunk", 409, port_id=bound["id"])["type"] == "ParentPortInUse"
    (shown,) = [
        one for one in service.get("/kilonova/topology", host="host-trunk")["ports"] if one["id"] == parent["id"]
    ]
    assert shown["trunk"] == {"subports": [{"port_id": one["id"], "segmentation_id": 100}]}
    for port in (parent, bound):
        service.put(f"/ports/{port['id']}", "port", **{"binding:host_id": ""})
