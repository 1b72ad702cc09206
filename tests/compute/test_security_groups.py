"""Security groups added to and removed from servers, and those that a server shows: its ports'."""

import uuid

import pytest

from tests.compute.conftest import Api, Cloud
from tests.compute.test_boot import Lab


@pytest.fixture(scope="module")
def lab(cloud: Cloud, demo: Api) -> Lab:
    lab = Lab(cloud, "", "", "", "")
    lab.network = lab.make_network(demo)
    return lab


def group(lab: Lab, user: Api, name: str) -> str:
    made = lab.ask(user, "network", "POST", "/v2.0/security-groups", {"security_group": {"name": name}})
    return str(made["security_group"]["id"])


def test_by_name_and_by_id(cloud: Cloud, lab: Lab, demo: Api) -> None:
    web, server = group(lab, demo, "web"), cloud.server(demo, host="node1")
    for name, asked in (("addSecurityGroup", "web"), ("removeSecurityGroup", web)):
        demo.post(f"/servers/{server}/action", {name: {"name": asked}}, 202)
        assert cloud.ledger.started[-1] == (server, name)
        assert cloud.ledger.bodies[-1] == {"name": asked, "group_id": web}


def test_refusals_in_novas_words(cloud: Cloud, lab: Lab, demo: Api) -> None:
    server, url = cloud.server(demo, host="node1"), "/servers/{}/action"
    for _ in range(2):
        group(lab, demo, "twice")

    def refused(status: int, body: object, id: str = server) -> str:
        return demo.refused("POST", url.format(id), status, json={"addSecurityGroup": body})

    assert "use an ID to be more specific" in refused(409, {"name": "twice"})
    for name in ("none", str(uuid.uuid4())):
        assert refused(404, {"name": name}) == f"Security group {name} is not found for project {demo.project_id}"
    for body in ({}, {"name": ""}, {"name": " "}, {"name": 1}, {"name": "web", "more": 1}, None):
        assert "addSecurityGroup" in refused(400, body)
    locked = cloud.server(demo, host="node1", locked=True)
    assert refused(409, {"name": "default"}, locked) == f"Instance {locked} is locked"
    building = cloud.server(demo, vm_state="building", launched_at=None)
    words = refused(409, {"name": "default"}, building)
    assert words == f"Cannot 'addSecurityGroup' instance {building} while it is in vm_state building"


def test_a_server_shows_its_ports_groups(cloud: Cloud, lab: Lab, fresh: Api) -> None:
    lab.network = lab.make_network(fresh)
    held = {"port_id": "p", "network_id": "n", "label": "net", "mac": "m", "fixed_ips": []}
    server = cloud.server(fresh, host="node1", security_groups=["asked for once"], networks=[held])
    bare = cloud.server(fresh, host="node1", security_groups=["default"])
    groups = [group(lab, fresh, name) for name in ("one", "two")]
    for some in (groups, groups[:1]):
        about = {"network_id": lab.network, "device_id": server, "device_owner": "compute:nova"}
        lab.ask(fresh, "network", "POST", "/v2.0/ports", {"port": {**about, "security_groups": some}})
    shown = [{"name": "one"}, {"name": "two"}]
    listed = {each["id"]: each for each in fresh.get("/servers/detail")["servers"]}
    found = [listed[server], fresh.get(f"/servers/{server}")["server"]]
    found += [fresh.put(f"/servers/{server}", {"server": {"name": "vm"}})["server"]]
    for each in found:
        assert sorted(each["security_groups"], key=lambda some: str(some["name"])) == shown
    assert "security_groups" not in listed[bare], "its ports' groups, and it has none: as Nova before ports are made"


def test_many_servers_are_asked_for_at_once(
    cloud: Cloud, lab: Lab, fresh: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.compute.records.port_groups.BY_ID", 0)
    test_a_server_shows_its_ports_groups(cloud, lab, fresh)
