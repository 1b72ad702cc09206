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
    inner = demo.get(f"/ports/{one['id']}")["port"]
    assert (inner["device_owner"], inner["device_id"]) == ("trunk:subport", trunk["id"])
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
    free = demo.get(f"/ports/{two['id']}")["port"]
    assert (free["device_owner"], free["device_id"]) == ("", "")
    demo.delete(f"/ports/{parent['id']}")


class Carried:
    """A trunk of two subports, and the words of the host that its parent is bound to."""

    def __init__(self, demo: Api, service: Api) -> None:
        self.demo, self.service, self.host = demo, service, "host-carries"
        self.parent, self.one, self.two = demo.port(demo.network()), *(demo.port(demo.network()) for _ in range(2))
        below = [vlan(self.one, 100), vlan(self.two, 200)]
        self.trunk: Json = demo.post("/trunks", "trunk", port_id=self.parent["id"], sub_ports=below)

    def bind(self, host: str) -> None:
        self.service.put(f"/ports/{self.parent['id']}", "port", **{"binding:host_id": host})

    def report(self, **states: str) -> None:
        ports = {getattr(self, name)["id"]: status for name, status in states.items()}
        answer = self.service.http.put(f"/kilonova/hosts/{self.host}", json={"ports": ports})
        assert answer.status_code == 204, answer.text

    def status(self) -> str:
        shown = self.demo.get(f"/trunks/{self.trunk['id']}")["trunk"]["status"]
        listed = self.demo.get("/trunks", status=shown, port_id=self.parent["id"])["trunks"]
        assert [one["id"] for one in listed] == [self.trunk["id"]]
        return str(shown)

    def subport(self, port: Json) -> tuple[str, str]:
        found = self.service.get(f"/ports/{port['id']}")["port"]
        return found["binding:host_id"], found["status"]

    def told(self) -> set[str]:
        return {port["id"] for port in self.service.get("/kilonova/topology", host=self.host)["ports"]}


def test_subports_are_where_their_parent_is_and_the_trunk_is_what_they_are(demo: Api, service: Api) -> None:
    it = Carried(demo, service)
    assert it.status() == "DOWN" and it.told() == set()
    it.bind(it.host)
    assert it.told() == {it.parent["id"], it.one["id"], it.two["id"]}
    assert it.subport(it.one) == (it.host, "BUILD") and it.status() == "DOWN"
    it.report(parent="ACTIVE")
    assert it.status() == "BUILD"
    for reported, status in (("ACTIVE", "ACTIVE"), ("DOWN", "DEGRADED")):
        it.report(one="ACTIVE", two=reported)
        assert it.status() == status
    it.report(one="DOWN", two="DOWN")
    assert it.status() == "DOWN", "a host that can carry none"
    it.report(one="ACTIVE", two="ACTIVE", parent="DOWN")
    assert it.status() == "DOWN", "its guest is off"
    it.report(parent="ACTIVE")
    three = demo.port(demo.network())
    act(demo, it.trunk, "add_subports", 200, vlan(three, 300))
    assert it.subport(three) == (it.host, "BUILD") and it.status() == "BUILD" and three["id"] in it.told()
    act(demo, it.trunk, "remove_subports", 200, {"port_id": three["id"]})
    assert it.subport(three) == ("", "DOWN") and three["id"] not in it.told() and it.status() == "ACTIVE"
    demo.put(f"/trunks/{it.trunk['id']}", "trunk", admin_state_up=False)
    assert it.status() == "DOWN"
    demo.put(f"/trunks/{it.trunk['id']}", "trunk", admin_state_up=True)
    it.bind("")
    assert it.subport(it.one) == ("", "DOWN") and it.status() == "DOWN" and it.told() == set()


def test_a_change_of_a_trunk_is_news_to_hosts(demo: Api, service: Api) -> None:
    """Mechanism: the ETag that a host waits with."""
    it, seen = Carried(demo, service), list[str]()

    def etag() -> str:
        return service.http.get("/kilonova/topology", params={"host": it.host}).headers["ETag"]

    three = demo.port(demo.network())
    seen.append(etag())
    act(demo, it.trunk, "add_subports", 200, vlan(three, 300))
    seen.append(etag())
    act(demo, it.trunk, "remove_subports", 200, {"port_id": three["id"]})
    seen.append(etag())
    demo.put(f"/trunks/{it.trunk['id']}", "trunk", admin_state_up=False)
    seen.append(etag())
    assert len(set(seen)) == 4


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
    below = [{"port_id": one["id"], "segmentation_id": 100}]
    assert shown["trunk"] == {"admin_state_up": False, "subports": below}
    for port in (parent, bound):
        service.put(f"/ports/{port['id']}", "port", **{"binding:host_id": ""})
