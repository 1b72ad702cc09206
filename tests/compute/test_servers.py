"""Servers as shown: attributes by microversion and by right, not found, change, delete."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest

from api.compute.routes.servers import MOST_ASKED
from infra.tables.compute import Flavor, now
from tests.compute.cards import card
from tests.compute.conftest import Api, Cloud

NETWORK: dict[str, Any] = {
    "port_id": "b5d5dbb1-7bf5-4f9e-8b9a-5a5ad0b5bb6b",
    "network_id": "n",
    "label": "provider",
    "mac": "fa:16:3e:00:00:01",
    "fixed_ips": ["192.168.56.100", "fd00::1"],
}
VOLUME = {"volume_id": "5e7a1b8a-0a53-4d5f-9f7e-2f8a5a3e1b11", "attachment_id": "a", "delete_on_termination": True}
FIRST = {
    "locked": 9,
    "description": 19,
    "tags": 26,
    "trusted_image_certificates": 63,
    "server_groups": 71,
    "locked_reason": 73,
    "OS-EXT-SRV-ATTR:hostname": 90,
    "pinned_availability_zone": 96,
    "scheduler_hints": 100,
}
"""Attribute of a tenant's own server → the microversion that brought it."""


@pytest.mark.parametrize("name", FIRST)
def test_attribute_begins_at_its_version(cloud: Cloud, demo: Api, name: str) -> None:
    server = cloud.server(demo)
    before, since = f"2.{FIRST[name] - 1}", f"2.{FIRST[name]}"
    assert name not in demo.get(f"/servers/{server}", version=before)["server"]
    assert name in demo.get(f"/servers/{server}", version=since)["server"]


def test_what_moves_bytes_for_longer_tells_how_many(cloud: Cloud, demo: Api) -> None:
    """Mechanism: `_moving`. The record's own number is 0 from each operation's begin to its end."""
    at_work, long_ago = {"vm_state": "active", "task_state": "resize_prep"}, now() - timedelta(seconds=30)
    moving, begun = cloud.server(demo, updated_at=long_ago, **at_work), cloud.server(demo, updated_at=now(), **at_work)
    rests, stopped = (
        cloud.server(demo, updated_at=long_ago),
        cloud.server(demo, vm_state="stopped", updated_at=long_ago),
    )
    cloud.ledger.moved = dict.fromkeys((moving, begun, rests, stopped), 42)
    wanted = {moving: 42, begun: 0, rests: 0, stopped: None}
    assert {id: demo.get(f"/servers/{id}")["server"].get("progress") for id in wanted} == wanted
    cloud.ledger.asked.clear()
    listed = {server["id"]: server.get("progress") for server in demo.get("/servers/detail")["servers"]}
    assert wanted.items() <= listed.items()
    (asked,) = cloud.ledger.asked  # of other tests' servers, too
    assert set(asked) & wanted.keys() == {moving}, "nobody asks of servers at rest"
    more = [cloud.server(demo, updated_at=long_ago, **at_work) for _ in range(MOST_ASKED)]
    demo.get("/servers/detail")
    assert len(cloud.ledger.asked[-1]) == MOST_ASKED < len([moving, *more])
    demo.get("/servers")
    assert len(cloud.ledger.asked) == 2


def test_tenants_view(cloud: Cloud, demo: Api, tiny: Flavor) -> None:
    server = str(uuid.uuid4())
    port = card(cloud, demo, server, *NETWORK["fixed_ips"])
    cloud.server(
        demo, id=server, host="node1", image_ref="i", networks=[port], volumes=[VOLUME], security_groups=["default"],
        availability_zone="nova", pinned_zone=None, key_name="k", config_drive=True, locked_reason="why",
        flavor={"id": "tiny", "name": "m1.tiny", "vcpus": 1, "ram": 64, "disk": 1, "extra_specs": {"a": "b"}},
        launched_at=datetime(2026, 1, 2, 3, 4, 5, 6000), created_at=datetime(2026, 1, 2, 3, 4, 5, 6000),
    )  # fmt: skip
    shown = demo.get(f"/servers/{server}")["server"]
    assert shown["status"] == "ACTIVE"
    assert shown["progress"] == 0
    assert shown["created"] == "2026-01-02T03:04:05Z"
    assert shown["OS-SRV-USG:launched_at"] == "2026-01-02T03:04:05.006000"
    assert shown["addresses"]["provider"][0] == {
        "version": 4,
        "addr": "192.168.56.100",
        "OS-EXT-IPS:type": "fixed",
        "OS-EXT-IPS-MAC:mac_addr": port["mac"],
    }
    assert shown["addresses"]["provider"][1]["version"] == 6
    assert shown["flavor"] == {
        "vcpus": 1, "ram": 64, "disk": 1, "ephemeral": 0, "swap": 0, "original_name": "m1.tiny",
        "extra_specs": {"a": "b"},
    }  # fmt: skip
    assert shown["config_drive"] == "True"
    assert shown["security_groups"] == [{"name": "default"}]
    volumes = shown["os-extended-volumes:volumes_attached"]
    assert volumes == [{"id": VOLUME["volume_id"], "delete_on_termination": True}]
    assert len(shown["hostId"]) == 56
    assert not {"OS-EXT-SRV-ATTR:host", "host_status", "sealed_request"} & set(shown)


def test_base_version(cloud: Cloud, demo: Api) -> None:
    server = cloud.server(demo, volumes=[VOLUME], image_ref="")
    shown = demo.get(f"/servers/{server}", version="2.1")["server"]
    assert shown["flavor"]["id"] == "tiny"
    assert shown["flavor"]["links"][0]["href"] == cloud.settings.url("compute", "/flavors/tiny")
    assert shown["image"] == ""
    assert shown["os-extended-volumes:volumes_attached"] == [{"id": VOLUME["volume_id"]}]
    assert shown["links"][0]["href"] == cloud.settings.url("compute", f"/v2.1/servers/{server}")
    assert not set(FIRST) & set(shown)


def test_admins_see_the_host(cloud: Cloud, admin: Api, demo: Api) -> None:
    name = f"node-{uuid.uuid4().hex[:6]}"
    cloud.host(name)
    server = cloud.server(demo, host=name, reservation_id="r-1", launch_index=3)
    shown = admin.get(f"/servers/{server}")["server"]
    assert shown["OS-EXT-SRV-ATTR:host"] == shown["OS-EXT-SRV-ATTR:hypervisor_hostname"] == name
    assert shown["OS-EXT-SRV-ATTR:launch_index"] == 3
    assert shown["host_status"] == "UP"
    old = admin.get(f"/servers/{server}", version="2.2")["server"]
    assert "OS-EXT-SRV-ATTR:launch_index" not in old
    assert "host_status" not in admin.get(f"/servers/{server}", version="2.15")["server"]
    assert admin.get("/servers/detail?all_tenants=1&host=" + name)["servers"][0]["host_status"] == "UP"


@pytest.mark.parametrize(
    ("vm_state", "task_state", "status"),
    [
        ("building", "scheduling", "BUILD"),
        ("active", "deleting", "ACTIVE"),
        ("active", "rebooting_hard", "HARD_REBOOT"),
        ("active", "resize_prep", "RESIZE"),
        ("stopped", None, "SHUTOFF"),
        ("resized", None, "VERIFY_RESIZE"),
        ("error", None, "ERROR"),
        ("error", "rebuilding", "REBUILD"),
    ],
)
def test_status(cloud: Cloud, fresh: Api, vm_state: str, task_state: str | None, status: str) -> None:
    server = cloud.server(fresh, vm_state=vm_state, task_state=task_state)
    assert fresh.get(f"/servers/{server}")["server"]["status"] == status
    assert [each["id"] for each in fresh.get("/servers", status=status.lower())["servers"]] == [server]


def test_fault(cloud: Cloud, admin: Api, demo: Api) -> None:
    fault = {"code": 500, "message": "No valid host", "details": "node1: RamFilter", "created": "2026-01-01T00:00:00Z"}
    server = cloud.server(demo, vm_state="error", fault=fault)
    assert demo.get(f"/servers/{server}")["server"]["fault"] == {k: fault[k] for k in ("code", "message", "created")}
    assert admin.get(f"/servers/{server}")["server"]["fault"]["details"] == "node1: RamFilter"
    healed = cloud.server(demo, vm_state="active", fault=fault)
    assert "fault" not in demo.get(f"/servers/{healed}")["server"]


def test_addresses_are_hidden_while_building(cloud: Cloud, demo: Api) -> None:
    server = cloud.server(demo, vm_state="building", task_state="networking", networks=[NETWORK])
    assert demo.get(f"/servers/{server}")["server"]["addresses"] == {}
    assert demo.get(f"/servers/{server}/ips") == {"addresses": {}}


def test_ips(cloud: Cloud, demo: Api) -> None:
    server = str(uuid.uuid4())
    cloud.server(demo, id=server, networks=[card(cloud, demo, server, *NETWORK["fixed_ips"])])
    wanted = [{"version": 4, "addr": "192.168.56.100"}, {"version": 6, "addr": "fd00::1"}]
    assert demo.get(f"/servers/{server}/ips") == {"addresses": {"provider": wanted}}
    assert demo.get(f"/servers/{server}/ips/provider") == {"provider": wanted}
    demo.refused("GET", f"/servers/{server}/ips/other", 404)


@pytest.mark.parametrize("wanted", ["demo-instance", "0", "a b", "x" * 300, "3eb4c325-bc28-4eb6-90ca-ddaa478565ff"])
def test_names_and_unknown_ids_are_not_found(demo: Api, wanted: str) -> None:
    message = demo.refused("GET", f"/servers/{wanted}", 404)
    assert message.startswith("Instance ") and message.endswith(" could not be found.")


def test_another_projects_server_does_not_exist(cloud: Cloud, demo: Api, other: Api) -> None:
    server = cloud.server(demo)
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/metadata"), ("GET", "/os-instance-actions")):
        other.refused(method, f"/servers/{server}{path}", 404)
    other.refused("POST", f"/servers/{server}/action", 404, json={"lock": None})
    assert cloud.row(server).deleted_at is None


def test_readers_may_only_look(cloud: Cloud, admin: Api) -> None:
    reader = cloud.tenant(admin, "reader")
    server = cloud.server(reader)
    reader.get(f"/servers/{server}")
    words = "Policy doesn't allow os_compute_api:servers:delete to be performed."
    assert reader.refused("DELETE", f"/servers/{server}", 403) == words
    reader.refused("POST", "/servers", 403, json={"server": {}})
    reader.refused("PUT", f"/servers/{server}/tags/x", 403)


def test_delete(cloud: Cloud, demo: Api) -> None:
    server = cloud.server(demo)
    assert demo.delete(f"/servers/{server}") is None
    assert cloud.ledger.deleted[-1] == server
    demo.refused("GET", f"/servers/{server}", 404)
    demo.refused("DELETE", f"/servers/{server}", 404)


def test_update(cloud: Cloud, demo: Api) -> None:
    server = cloud.server(demo)
    wish: dict[str, Any] = {"name": "new", "description": "d", "accessIPv4": "10.0.0.9", "hostname": "h.example"}
    shown = demo.put(f"/servers/{server}", {"server": wish})["server"]
    assert shown["name"] == "new"
    assert (shown["description"], shown["accessIPv4"]) == ("d", "10.0.0.9")
    assert shown["OS-EXT-SRV-ATTR:hostname"] == "h.example"
    assert "OS-EXT-STS:vm_state" in shown
    old = demo.put(f"/servers/{server}", {"server": {"accessIPv4": "10.0.0.10"}}, version="2.74")["server"]
    assert old["accessIPv4"] == "10.0.0.10"
    assert "OS-EXT-STS:vm_state" not in old
    assert demo.put(f"/servers/{server}", {"server": {"description": None}})["server"]["description"] is None


@pytest.mark.parametrize(
    ("wish", "version"),
    [
        ({"name": ""}, "2.104"),
        ({"name": " x"}, "2.104"),
        ({"name": "x" * 256}, "2.104"),
        ({"name": "a\u0000b"}, "2.104"),
        ({"description": "x"}, "2.18"),
        ({"hostname": "x"}, "2.89"),
        ({"accessIPv4": "fd00::1"}, "2.104"),
        ({"accessIPv6": "10.0.0.1"}, "2.104"),
        ({"status": "ACTIVE"}, "2.104"),
    ],
)
def test_update_refuses(cloud: Cloud, demo: Api, wish: dict[str, Any], version: str) -> None:
    server = cloud.server(demo)
    demo.refused("PUT", f"/servers/{server}", 400, version, json={"server": wish})
    assert cloud.row(server).name == "vm"


def test_volume_attachments(cloud: Cloud, demo: Api) -> None:
    server = cloud.server(demo, volumes=[VOLUME | {"device": "vdb", "tag": "t"}])
    path = f"/servers/{server}/os-volume_attachments"
    (old,) = demo.get(path, version="2.1")["volumeAttachments"]
    volume = VOLUME["volume_id"]
    assert old == {"id": volume, "volumeId": volume, "serverId": server, "device": "/dev/vdb"}
    new = demo.get(f"{path}/{volume}")["volumeAttachment"]
    assert new["attachment_id"] == "a"
    assert (new["tag"], new["delete_on_termination"]) == ("t", True)
    assert uuid.UUID(new["bdm_uuid"]) and "id" not in new
    demo.refused("GET", f"{path}/{uuid.uuid4()}", 404)


def test_a_volume_is_attached_and_detached(cloud: Cloud, demo: Api) -> None:
    server, free = cloud.server(demo, host="node1", volumes=[VOLUME | {"device": "vdb"}]), cloud.volume(demo)
    path = f"/servers/{server}/os-volume_attachments"
    made = demo.post(path, {"volumeAttachment": {"volumeId": free, "tag": "data"}}, 200, "2.100")["volumeAttachment"]
    assert (made["volumeId"], made["serverId"], made["device"], made["tag"]) == (free, server, "/dev/vdc", "data")
    assert cloud.ledger.started[-1] == (server, "attach_volume")
    asked = {"volumeId": cloud.volume(demo), "device": None}  # as `openstack server add volume` asks
    assert demo.post(path, {"volumeAttachment": asked}, 202) is None
    demo.call("DELETE", f"{path}/{VOLUME['volume_id']}", 202)
    assert cloud.ledger.started[-1] == (server, "detach_volume")


def test_a_volume_of_a_server_on_no_host_has_no_device_yet(cloud: Cloud, demo: Api) -> None:
    """As in Nova: the device follows when the server has a host again; one that is asked for is told at once."""
    server = cloud.server(demo, volumes=[VOLUME | {"device": None}], vm_state="shelved_offloaded")
    path, body = f"/servers/{server}/os-volume_attachments", {"volumeId": cloud.volume(demo)}
    assert demo.post(path, {"volumeAttachment": body}, 200, "2.100")["volumeAttachment"]["device"] is None
    named = {"volumeId": cloud.volume(demo), "device": "/dev/vdf"}
    assert demo.post(path, {"volumeAttachment": named}, 200, "2.100")["volumeAttachment"]["device"] == "/dev/vdf"
    assert "device" not in demo.get(f"{path}/{VOLUME['volume_id']}")["volumeAttachment"]
    same = {"volumeId": VOLUME["volume_id"], "device": None}
    demo.call("PUT", f"{path}/{VOLUME['volume_id']}", 202, json={"volumeAttachment": same})


@pytest.mark.parametrize(
    ("wish", "status", "version"),
    [
        ({"volumeId": "not-an-id"}, 400, "2.104"),
        ({"volumeId": str(uuid.uuid4())}, 404, "2.104"),
        ({"volumeId": str(uuid.uuid4()), "tag": "t"}, 400, "2.48"),
        ({"volumeId": str(uuid.uuid4()), "delete_on_termination": True}, 400, "2.78"),
        ({}, 400, "2.104"),
    ],
)
def test_an_attachment_is_refused(cloud: Cloud, demo: Api, wish: dict[str, Any], status: int, version: str) -> None:
    server = cloud.server(demo, host="node1")
    demo.refused("POST", f"/servers/{server}/os-volume_attachments", status, version, json={"volumeAttachment": wish})
    assert server not in dict(cloud.ledger.started)


def test_a_taken_device_and_a_root_volume_are_refused(cloud: Cloud, demo: Api) -> None:
    server = cloud.server(demo, host="node1", volumes=[VOLUME | {"device": "vda", "boot_index": 0}])
    path, free = f"/servers/{server}/os-volume_attachments", cloud.volume(demo)
    taken = demo.refused("POST", path, 400, json={"volumeAttachment": {"volumeId": free, "device": "/dev/vda"}})
    assert "/dev/vda" in str(taken)
    assert "root device volume" in str(demo.refused("DELETE", f"{path}/{VOLUME['volume_id']}", 400))
    demo.refused("DELETE", f"{path}/{free}", 404)
