"""What the microversions from 2.97 on brought, and the disk configuration of servers."""

import uuid
from typing import Any

import pytest

from infra.tables.compute import Flavor
from tests.compute.conftest import Api, Cloud
from tests.compute.test_boot import Lab, lab  # noqa: F401


def test_shares_are_not_to_be_had(cloud: Cloud, demo: Api, other: Api) -> None:
    server, share = cloud.server(demo), str(uuid.uuid4())
    path = f"/servers/{server}/shares"
    demo.refused("GET", path, 404, "2.96")
    assert demo.get(path, version="2.97") == {"shares": []}
    assert demo.refused("GET", f"{path}/{share}", 404) == f"Share {share} could not be found."
    wish: Any = {"share": {"share_id": share, "tag": "data"}}
    words = f"Cannot 'create share' instance {server} while it is in vm_state active"
    assert demo.refused("POST", path, 409, json=wish) == words
    stopped = f"/servers/{cloud.server(demo, vm_state='stopped')}/shares"
    assert "Feature not supported" in demo.refused("POST", stopped, 403, json=wish)
    demo.refused("POST", stopped, 400, json={"share": {"share_id": "x"}})
    demo.refused("GET", path, 400, params={"x": "1"})
    demo.refused("DELETE", f"{path}/{share}", 409)
    demo.refused("DELETE", f"{stopped}/{share}", 404)
    other.refused("GET", path, 404)


def test_properties_of_the_image_from_2_98(cloud: Cloud, demo: Api) -> None:
    known = {"hw_disk_bus": "virtio", "os_type": "linux", "hw_of_my_own": "x"}
    server = cloud.server(demo, image_ref="i", image_properties=known)
    shown = demo.get(f"/servers/{server}", version="2.98")["server"]["image"]
    assert shown["properties"] == {"hw_disk_bus": "virtio", "os_type": "linux"}
    assert "properties" not in demo.get(f"/servers/{server}", version="2.97")["server"]["image"]


def test_the_direct_spice_console_from_2_99(cloud: Cloud, demo: Api) -> None:
    wish = {"remote_console": {"protocol": "spice", "type": "spice-direct"}}
    path = f"/servers/{cloud.server(demo, host='h')}/remote-consoles"
    assert "not one of" in demo.refused("POST", path, 400, "2.98", json=wish)
    assert demo.refused("POST", path, 400, json=wish) == "Unavailable console type spice-direct."


def test_hints_from_2_100(lab: Lab, demo: Api) -> None:  # noqa: F811
    body = {**lab.server(), "os:scheduler_hints": {"mine": "a", "more": ["b", "c"], "kilonova:on_failure": "park"}}
    server = demo.post("/servers", body, 202)["server"]["id"]
    shown = {"mine": ["a"], "more": ["b", "c"], "kilonova:on_failure": ["park"]}
    assert demo.get(f"/servers/{server}", version="2.100")["server"]["scheduler_hints"] == shown
    assert demo.put(f"/servers/{server}", {"server": {"name": "n"}})["server"]["scheduler_hints"] == shown
    plain = lab.boot(demo).instance_id
    assert demo.get(f"/servers/{plain}")["server"]["scheduler_hints"] == {}


@pytest.mark.parametrize("path", ["", "/metadata", "/ips", "/os-interface", "/os-security-groups", "/migrations"])
def test_queries_that_nobody_knows_are_refused_from_2_102(cloud: Cloud, demo: Api, admin: Api, path: str) -> None:
    where = f"/servers/{cloud.server(demo)}{path}"
    admin.get(where, version="2.101", nobody="knows")
    assert "'nobody' was unexpected" in admin.refused("GET", where, 400, "2.102", params={"nobody": "knows"})


def test_a_servers_zone_is_pinned_and_unpinned_from_2_104(cloud: Cloud, demo: Api) -> None:
    host = f"pin-{uuid.uuid4().hex[:6]}"
    cloud.host(host, zone="east")
    path = f"/servers/{cloud.server(demo, host=host, pinned_zone=None)}"

    def pin(zone: str | None, status: int = 200, version: str = "2.104") -> Any:
        return demo.put(path, {"server": {"pinned_availability_zone": zone}}, status, version)

    pin("east", 400, "2.103")
    assert "current availability zone 'east'" in pin("west", 409)["conflictingRequest"]["message"]
    for _ in range(2):
        assert pin("east")["server"]["pinned_availability_zone"] == "east"
    assert "Unpin first" in pin("west", 409)["conflictingRequest"]["message"]
    assert pin(None)["server"]["pinned_availability_zone"] is None
    assert pin(None)["server"]["pinned_availability_zone"] is None


def test_disk_configuration(cloud: Cloud, lab: Lab, admin: Api, demo: Api, tiny: Flavor) -> None:  # noqa: F811
    def config(server: str, **query: str) -> str:
        return str(demo.get(f"/servers/{server}")["server"]["OS-DCF:diskConfig"])

    auto = demo.post("/servers", lab.server(**{"OS-DCF:diskConfig": "AUTO"}), 202)["server"]
    assert auto["OS-DCF:diskConfig"] == "AUTO" == config(auto["id"]) and config(lab.boot(demo).instance_id) == "MANUAL"
    assert lab.boot(demo, imageRef=lab.make_image(admin, auto_disk_config="True")).disk_config == "AUTO"
    fixed = lab.make_image(admin, auto_disk_config="Disabled")
    words = f"Requested image {fixed} has automatic disk resize disabled."
    assert lab.refused(demo, 400, imageRef=fixed, **{"OS-DCF:diskConfig": "AUTO"}) == words
    lab.refused(demo, 400, **{"OS-DCF:diskConfig": "SOME"})
    assert lab.boot(demo, imageRef=fixed).disk_config == "MANUAL"
    server = cloud.server(demo, host="h", image_ref=lab.image)
    shown = demo.put(f"/servers/{server}", {"server": {"OS-DCF:diskConfig": "AUTO"}})["server"]
    assert shown["OS-DCF:diskConfig"] == "AUTO" == config(server)
    auto_only = {server, auto["id"]}
    found = {each["id"] for each in admin.get("/servers", all_tenants="1", auto_disk_config="true")["servers"]}
    assert auto_only <= found and lab.boot(demo).instance_id not in found
    rebuilt = demo.post(f"/servers/{server}/action", {"rebuild": {"imageRef": fixed}}, 202)["server"]
    assert rebuilt["OS-DCF:diskConfig"] == "MANUAL"
    again = {"rebuild": {"imageRef": fixed, "OS-DCF:diskConfig": "AUTO"}}
    assert demo.refused("POST", f"/servers/{server}/action", 400, json=again) == words
    big = Flavor(id=f"dcf-{server[:4]}", name=f"dcf-{server[:4]}", ram=128, vcpus=1, disk=1)
    with cloud.database.write() as session:
        session.add(big)
    kept = cloud.server(demo, host="h", image_ref=fixed, image_properties={"auto_disk_config": "disabled"})
    wish = {"resize": {"flavorRef": big.id, "OS-DCF:diskConfig": "AUTO"}}
    assert demo.refused("POST", f"/servers/{kept}/action", 400, json=wish) == words
    demo.post(f"/servers/{server}/action", wish, 202)
    assert cloud.ledger.bodies[-1]["disk_config"] == "AUTO"
