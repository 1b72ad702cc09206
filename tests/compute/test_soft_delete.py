"""Deletes that can be taken back: what reaches the workflow, and who sees such a server."""

import pytest

from infra.tables.compute import Instance, now
from tests.compute.conftest import Api, Cloud
from workflows.requests import DeleteRequest


def ids(user: Api, query: str = "") -> set[str]:
    return {server["id"] for server in user.get(f"/servers?{query}")["servers"]}


@pytest.mark.parametrize("interval", [0, 600])
def test_the_setting_says_for_how_long(cloud: Cloud, demo: Api, monkeypatch: pytest.MonkeyPatch, interval: int) -> None:
    monkeypatch.setattr(cloud.settings, "reclaim_instance_interval", interval)
    demo.delete(f"/servers/{cloud.server(demo, host='node1')}")
    assert cloud.ledger.reclaims[-1] == interval
    locked = cloud.server(demo, host="node1", locked=True, locked_by="owner")
    demo.refused("DELETE", f"/servers/{locked}", 409)
    forced = cloud.server(demo, vm_state="soft-delete", host="node1")
    demo.post(f"/servers/{forced}/action", {"forceDelete": None}, 202)
    assert (cloud.ledger.deleted[-1], cloud.ledger.reclaims[-1]) == (forced, 0)


@pytest.mark.parametrize(("interval", "doing"), [(0, "deleting"), (600, "soft-deleting")])
def test_it_is_shown_from_the_answer_on(
    cloud: Cloud, demo: Api, monkeypatch: pytest.MonkeyPatch, interval: int, doing: str
) -> None:
    """No worker is there yet, or the step that came first wrote a newer row, or another operation has to give way."""

    async def accepted(request: DeleteRequest) -> None:
        if request.instance_id == over:
            with cloud.database.write() as session:
                session.get_one(Instance, over).updated_at = now()

    monkeypatch.setattr(cloud.settings, "reclaim_instance_interval", interval)
    monkeypatch.setattr(cloud.ledger, "delete", accepted)
    fresh, never, over = (cloud.server(demo, host=host) for host in ("node1", None, "node1"))
    busy = cloud.server(demo, host="node1", task_state="powering-off")
    for server in (fresh, never, over, busy):
        demo.delete(f"/servers/{server}")
    shown = [demo.get(f"/servers/{each}")["server"]["OS-EXT-STS:task_state"] for each in (fresh, never, over, busy)]
    assert shown == [doing, "deleting", None, "powering-off"]
    words = demo.refused("POST", f"/servers/{fresh}/action", 409, json={"os-stop": None})
    assert words == f"Cannot 'stop' instance {fresh} while it is in task_state {doing}"


def test_who_sees_it(cloud: Cloud, demo: Api, admin: Api) -> None:
    soft, live = cloud.server(demo, vm_state="soft-delete", host="node1"), cloud.server(demo, host="node1")
    assert demo.get(f"/servers/{soft}")["server"]["status"] == "SOFT_DELETED"
    assert soft not in ids(demo) and live in ids(demo)
    assert soft in ids(demo, "changes-since=2020-01-01T00:00:00Z")
    everywhere = "all_tenants=1&limit=1000"
    assert soft not in ids(admin, everywhere)
    assert {soft} <= ids(admin, f"{everywhere}&deleted=true") and live not in ids(admin, f"{everywhere}&deleted=true")
    assert soft not in ids(admin, f"{everywhere}&deleted=true&soft_deleted=false")
    assert {soft, live} <= ids(admin, f"{everywhere}&soft_deleted=true")


def test_restore(cloud: Cloud, demo: Api) -> None:
    soft, live = cloud.server(demo, vm_state="soft-delete", host="node1"), cloud.server(demo, host="node1")
    words = demo.refused("POST", f"/servers/{live}/action", 409, json={"restore": None})
    assert words == f"Cannot 'restore' instance {live} while it is in vm_state active"
    demo.post(f"/servers/{soft}/action", {"restore": None}, 202)
    assert set(cloud.ledger.bodies[-1]["quota"]) == {"instances", "cores", "ram"}
