"""Services, hypervisors, hosts, zones, and the routes by which compute hosts report."""

import uuid
from datetime import timedelta
from typing import Any

import pytest

from infra.tables.compute import Allocation, Instance, Service, now
from tests.compute.conftest import Api, Cloud
from tests.ports import free_port

REPORT = {
    "vcpus": 4,
    "memory_mb": 8192,
    "disk_gb": 100,
    "hypervisor_type": "QEMU",
    "hypervisor_version": 7002000,
    "host_ip": "127.0.0.1",
    "zone": "nova",
    "started_at": "2026-01-01T00:00:00Z",
    "facts": {"cpu_info": {"arch": "x86_64"}, "virt_type": "qemu", "running": [], "uptime": "up 3 days"},
}


@pytest.fixture
def node(service: Api) -> str:
    name = f"node-{uuid.uuid4().hex[:8]}"
    service.put(f"/kilonova/hosts/{name}", {"host": REPORT})
    return name


def claim(cloud: Cloud, host: str, server: str) -> None:
    with cloud.database.write() as session:
        session.add(
            Allocation(consumer_id=server, instance_id=server, host=host, attempt=2, vcpus=2, memory_mb=256, disk_gb=5)
        )


def one(user: Api, node: str, version: str = "2.96") -> dict[str, Any]:
    (found,) = user.get("/os-services", host=node, binary="nova-compute", version=version)["services"]
    return dict(found)


def test_heartbeat(cloud: Cloud, admin: Api, service: Api, demo: Api, node: str) -> None:
    first = service.put(f"/kilonova/hosts/{node}", {"host": REPORT})["host"]
    assert first["disabled"] is False
    shown = one(admin, node)
    assert (shown["id"], shown["state"], shown["zone"], shown["forced_down"]) == (first["id"], "up", "nova", False)
    assert "forced_down" not in one(admin, node, "2.10")
    assert isinstance(one(admin, node, "2.52")["id"], int)
    with cloud.database.write() as session:
        session.get_one(Service, first["id"]).last_seen = now() - timedelta(seconds=61)
    assert one(admin, node)["state"] == "down"
    service.put(f"/kilonova/hosts/{node}", {"host": REPORT | {"vcpus": 8}})
    assert one(admin, node)["state"] == "up"
    demo.refused("PUT", f"/kilonova/hosts/{node}", 403, json={"host": REPORT})
    service.refused("PUT", f"/kilonova/hosts/{node}", 400, json={"host": {}})
    service.refused("PUT", f"/kilonova/hosts/{node}", 400, json={"host": REPORT | {"started_at": "x"}})


def test_a_host_that_reports_is_up_while_identity_is_away(
    cloud: Cloud, admin: Api, service: Api, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mechanism: `outlasts` of the compute service's door. All hosts were down after a minute without Keystone, and
    every build and action was cut off, "as its host does not report any more". Of another host nobody is told."""
    tokens, path = cloud.compute.state.tokens, f"/kilonova/hosts/{node}"
    shown = one(admin, node)
    with monkeypatch.context() as away:
        away.setattr(tokens, "_url", f"http://127.0.0.1:{free_port()}/auth/tokens")
        away.setattr(tokens._known, "_told", None)  # what the machine's other services were told meanwhile
        away.setattr(
            tokens._known, "_facts", {token: (0.0, facts) for token, (_, facts) in tokens._known._facts.items()}
        )
        with cloud.database.write() as session:
            session.get_one(Service, shown["id"]).last_seen = now() - timedelta(seconds=61)
        service.put(path, {"host": REPORT})
        assert service.post(f"{path}/instances", {"instances": {}})["instances"] == {}
        service.refused("GET", f"{path}/claims", 503)
        admin.refused("GET", "/os-services", 503)
    assert one(admin, node)["state"] == "up"


def test_disable_and_enable(admin: Api, service: Api, demo: Api, node: str) -> None:
    path = f"/os-services/{one(admin, node)['id']}"
    demo.refused("PUT", path, 403, json={"status": "disabled"})
    demo.refused("GET", "/os-services", 403)
    shown = admin.put(path, {"status": "disabled", "disabled_reason": "why"})["service"]
    assert (shown["status"], shown["disabled_reason"]) == ("disabled", "why")
    assert service.put(f"/kilonova/hosts/{node}", {"host": REPORT})["host"]["disabled"] is True
    assert admin.put(path, {"status": "enabled"})["service"]["disabled_reason"] is None
    assert admin.put(path, {"forced_down": True})["service"]["state"] == "down"
    assert admin.put(path, {"forced_down": False})["service"]["state"] == "up"
    for body in ({}, {"status": "x"}, {"status": "enabled", "disabled_reason": "x"}, {"more": 1}):
        admin.refused("PUT", path, 400, json=body)
    admin.refused("PUT", f"/os-services/{uuid.uuid4()}", 404, json={"status": "enabled"})
    admin.refused("PUT", "/os-services/12", 400, json={"status": "enabled"})


def test_old_ways_to_disable(admin: Api, node: str) -> None:
    who = {"host": node, "binary": "nova-compute"}
    assert admin.put("/os-services/disable", who, version="2.52") == {"service": {**who, "status": "disabled"}}
    assert one(admin, node)["status"] == "disabled"
    assert admin.put("/os-services/enable", who, version="2.52")["service"]["status"] == "enabled"
    admin.put("/os-services/disable-log-reason", {**who, "disabled_reason": "why"}, version="2.1")
    assert one(admin, node)["disabled_reason"] == "why"
    admin.refused("PUT", "/os-services/disable-log-reason", 400, "2.1", json=who)
    admin.refused("PUT", "/os-services/force-down", 404, "2.10", json=who)
    admin.put("/os-services/force-down", {**who, "forced_down": True}, version="2.11")
    assert one(admin, node)["forced_down"] is True
    admin.refused("PUT", "/os-services/fly", 404, "2.52", json=who)
    admin.refused("PUT", "/os-services/enable", 404, "2.52", json={**who, "host": "none"})
    admin.refused("PUT", "/os-services/enable", 400, "2.52", json={**who, "binary": "nova-scheduler"})


def test_delete_service(cloud: Cloud, admin: Api, demo: Api, node: str) -> None:
    path = f"/os-services/{one(admin, node)['id']}"
    server = cloud.server(demo, host=node)
    claim(cloud, node, server)
    admin.refused("DELETE", path, 409)
    with cloud.database.write() as session:
        session.delete(session.get_one(Allocation, server))
    demo.delete(f"/servers/{server}")
    admin.delete(path)
    assert admin.get("/os-services", host=node)["services"] == []
    admin.refused("GET", "/os-hypervisors", 404, params={"hypervisor_hostname_pattern": node})


def test_hypervisor(cloud: Cloud, admin: Api, demo: Api, node: str) -> None:
    server = cloud.server(demo, host=node, task_state="deleting")
    claim(cloud, node, server)
    (found,) = admin.get("/os-hypervisors/detail", hypervisor_hostname_pattern=node)["hypervisors"]
    path = f"/os-hypervisors/{found['id']}"
    assert found == admin.get(path)["hypervisor"]
    assert (found["uptime"], found["service"]["host"], found["state"]) == ("up 3 days", node, "up")
    assert "vcpus" not in found
    old = admin.get(path, version="2.87")["hypervisor"]
    assert (old["vcpus"], old["vcpus_used"], old["running_vms"], old["current_workload"]) == (4, 2, 1, 1)
    assert old["memory_mb_used"] == 256 + cloud.settings.reserved_host_memory_mb
    assert old["free_disk_gb"] == 95
    assert old["cpu_info"] == {"arch": "x86_64"}
    number = next(
        h["id"] for h in admin.get("/os-hypervisors", version="2.1")["hypervisors"] if h["hypervisor_hostname"] == node
    )
    assert admin.get(f"/os-hypervisors/{number}", version="2.27")["hypervisor"]["cpu_info"] == '{"arch": "x86_64"}'
    with_servers = admin.get(path, with_servers="true")["hypervisor"]["servers"]
    assert [each["uuid"] for each in with_servers] == [server]
    assert admin.get(f"/os-hypervisors/{node}/servers", version="2.52")["hypervisors"][0]["servers"]
    assert admin.get(f"/os-hypervisors/{number}/uptime", version="2.52")["hypervisor"]["uptime"] == "up 3 days"
    admin.refused("GET", "/os-hypervisors/node1", 400)
    admin.refused("GET", f"/os-hypervisors/{uuid.uuid4()}", 404)
    admin.refused("GET", f"/os-hypervisors/{node}/search", 404, "2.53")
    demo.refused("GET", "/os-hypervisors", 403)


def test_statistics(admin: Api, node: str) -> None:
    statistics = admin.get("/os-hypervisors/statistics", version="2.1")["hypervisor_statistics"]
    assert statistics["count"] >= 1 and statistics["vcpus"] >= 4
    admin.refused("GET", "/os-hypervisors/statistics", 404, "2.88")


def test_hosts_until_2_42(cloud: Cloud, admin: Api, demo: Api, node: str) -> None:
    hosts = admin.get("/os-hosts", version="2.1")["hosts"]
    assert {"host_name": node, "service": "compute", "zone": "nova"} in hosts
    claim(cloud, node, cloud.server(demo, host=node, vcpus=2, root_gb=1, flavor={"ephemeral": 4, "swap": 512}))
    shown = {r["resource"]["project"]: r["resource"] for r in admin.get(f"/os-hosts/{node}", version="2.42")["host"]}
    assert shown["(total)"]["cpu"] == 4
    assert shown["(used_now)"]["memory_mb"] == 256 + cloud.settings.reserved_host_memory_mb
    assert (shown[demo.project_id]["cpu"], shown[demo.project_id]["disk_gb"]) == (2, 5)
    admin.refused("GET", "/os-hosts/none", 404, "2.42")
    admin.refused("GET", "/os-hosts", 404, "2.43")


def test_zones(cloud: Cloud, admin: Api, service: Api, demo: Api, node: str) -> None:
    zone = f"az-{node}"
    service.put(f"/kilonova/hosts/{node}", {"host": REPORT | {"zone": zone}})
    with cloud.database.write() as session:
        session.add(Service(id=str(uuid.uuid4()), binary="nova-scheduler", host=node, last_seen=now()))
    zones = {z["zoneName"]: z for z in demo.get("/os-availability-zone")["availabilityZoneInfo"]}
    assert zones[zone] == {"zoneName": zone, "zoneState": {"available": True}, "hosts": None}
    assert "internal" not in zones
    demo.refused("GET", "/os-availability-zone/detail", 403)
    detail = {z["zoneName"]: z for z in admin.get("/os-availability-zone/detail")["availabilityZoneInfo"]}
    assert detail[zone]["hosts"][node]["nova-compute"]["available"] is True
    assert "nova-scheduler" in detail["internal"]["hosts"][node]
    message = admin.refused("PUT", f"/os-services/{_scheduler(admin, node)}", 400, json={"status": "disabled"})
    assert message.startswith("Updating a nova-scheduler service is not supported.")
    admin.put(f"/os-services/{one(admin, node)['id']}", {"status": "disabled"})
    zones = {z["zoneName"]: z for z in demo.get("/os-availability-zone")["availabilityZoneInfo"]}
    assert zones[zone]["zoneState"] == {"available": False}


def _scheduler(admin: Api, node: str) -> str:
    return str(admin.get("/os-services", host=node, binary="nova-scheduler")["services"][0]["id"])


def test_claims(cloud: Cloud, service: Api, demo: Api, node: str) -> None:
    server, orphan = cloud.server(demo, host=node), str(uuid.uuid4())
    claim(cloud, node, server)
    claim(cloud, node, orphan)
    left = Allocation(
        consumer_id=str(uuid.uuid4()), instance_id=str(uuid.uuid4()), kind="migration", host=node, attempt=2,
        vcpus=2, memory_mb=256, disk_gb=5,
    )  # fmt: skip
    with cloud.database.write() as session:
        session.add(left.model_copy())
    found = {c["instance_id"]: c for c in service.get(f"/kilonova/hosts/{node}/claims")["claims"]}
    states = {"vm_state": "active", "task_state": None, "power_state": found[server]["power_state"]}
    assert found[server] == {"instance_id": server, "attempt": 2, **states}
    assert found[orphan]["vm_state"] is None
    assert left.instance_id not in found, "its guest stays off"
    assert service.get(f"/kilonova/hosts/{node}/claims/{left.instance_id}")["claim"]["attempt"] == 2
    path = f"/kilonova/hosts/{node}/claims/{server}"
    assert service.get(path) == {"claim": {"instance_id": server, "attempt": 2}}
    service.refused("GET", path.replace(node, "other"), 404)
    demo.refused("GET", path, 403)


def test_what_is_known_of_a_hosts_instances(cloud: Cloud, service: Api, demo: Api, node: str) -> None:
    """A host undoes only what it is told is gone; what no record says anything about is unknown."""
    here, there, deleted, released = (cloud.server(demo, claims=2) for _ in range(4))
    claim(cloud, node, here)
    claim(cloud, "other", there)
    with cloud.database.write() as session:
        session.get_one(Instance, deleted).deleted_at = now()
        session.get_one(Instance, released).launched_at = None
    stray = str(uuid.uuid4())
    path, ids = f"/kilonova/hosts/{node}/instances", (here, there, deleted, released, stray)
    answer = service.post(path, {"instances": dict.fromkeys(ids, 1)})
    assert [answer["instances"][id] for id in ids] == ["claimed", "elsewhere", "deleted", "released", "unknown"]
    newer = service.post(path, {"instances": dict.fromkeys(ids, 3)})["instances"]
    assert [newer[id] for id in ids] == ["claimed", *["unknown"] * 4], "guests that are newer than their records"
    report = REPORT | {"cloud_id": answer["cloud_id"]}
    assert service.put(f"/kilonova/hosts/{node}", {"host": report})["host"]["cloud_id"] == answer["cloud_id"]
    stranger = {"host": REPORT | {"cloud_id": stray}}
    assert stray in service.refused("PUT", f"/kilonova/hosts/{node}", 409, json=stranger)
    service.refused("POST", path, 400, json={"instances": {"x": 1}})
    service.refused("POST", path, 400, json={"instances": {stray: -1}})
    demo.refused("POST", path, 403, json={"instances": {}})


@pytest.mark.parametrize(
    ("before", "power_state", "after"),
    [
        ({"vm_state": "active", "power_state": 1}, 4, ("stopped", 4)),
        ({"vm_state": "active", "power_state": 1}, 6, ("stopped", 4)),
        ({"vm_state": "stopped", "power_state": 4}, 1, ("active", 1)),
        ({"vm_state": "active", "power_state": 1}, 3, ("active", 3)),
        ({"vm_state": "active", "power_state": 1, "task_state": "deleting"}, 4, ("active", 1)),
        ({"vm_state": "building", "power_state": 0}, 1, ("building", 0)),
        ({"vm_state": "error", "power_state": 0}, 4, ("error", 0)),
        ({"vm_state": "active", "power_state": 1, "host": "elsewhere"}, 4, ("active", 1)),
    ],
)
def test_guest_events(
    cloud: Cloud, service: Api, demo: Api, node: str, before: dict[str, Any], power_state: int, after: tuple[str, int]
) -> None:
    server = cloud.server(demo, **{"host": node, **before})
    events = [{"instance_id": server, "power_state": power_state, "reason": "x"}]
    service.post(f"/kilonova/hosts/{node}/events", {"events": events}, 204)
    row = cloud.row(server)
    assert (row.vm_state, row.power_state) == after
    went_off = before["vm_state"] == "active" and after[0] == "stopped"
    told = demo.get(f"/servers/{server}/os-instance-actions")["instanceActions"]
    assert [(each["action"], each["message"]) for each in told] == ([("stop", None)] if went_off else [])


def test_why_a_guest_went_off_or_waits_is_in_its_event_list(
    cloud: Cloud, service: Api, demo: Api, admin: Api, node: str
) -> None:
    """Mechanism: reports.apply_event. Of a guest that was off, or stood still, nothing was said."""
    server = cloud.server(demo, host=node, vm_state="active", power_state=1)
    about, waits = {"instance_id": server}, "a disk does not answer: vdb"
    states = [(3, waits), (1, "resumed"), (3, waits), (1, "resumed"), (3, "paused"), (4, "the guest crashed")]
    for power_state, reason in states:
        events = [{**about, "power_state": power_state, "reason": reason}]
        service.post(f"/kilonova/hosts/{node}/events", {"events": events}, 204)
    path = f"/servers/{server}/os-instance-actions"
    told = demo.get(path)["instanceActions"]
    assert [(each["action"], each["message"]) for each in told] == [("stop", None), ("wait_for_disk", "Error")]
    assert {each["project_id"] for each in told} == {demo.project_id}
    why = [admin.get(f"{path}/{each['request_id']}")["instanceAction"]["events"] for each in told]
    assert [[(one["event"], one["result"], one["details"], one["host"]) for one in each] for each in why] == [
        [("guest_stopped", "Success", "the guest crashed", node)],
        [("guest_paused", "Error", waits, node)],
    ]
    seen = demo.get(f"{path}/{told[0]['request_id']}")["instanceAction"]["events"]
    assert [one["event"] for one in seen] == ["guest_stopped"] and "details" not in seen[0]
