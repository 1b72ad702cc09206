"""POST /os-server-external-events: who may, what each event gets, and what it begins."""

import uuid
from typing import Any

import pytest

from tests.compute.conftest import Api, Cloud

HELD = {"port_id": "p", "network_id": "n", "label": "net", "mac": "m", "fixed_ips": []}


@pytest.fixture(scope="module")
def cinder(cloud: Cloud) -> Api:
    """A service's user: not an administrator."""
    return cloud.user("cinder")


def tell(user: Api, *events: dict[str, Any], status: int = 200, version: str = "2.96") -> list[tuple[str, int]]:
    body = user.post("/os-server-external-events", {"events": list(events)}, status, version)
    told = [{k: v for k, v in each.items() if k not in ("status", "code")} for each in body["events"]]
    assert told == [{k: v for k, v in event.items() if k != "status"} for event in events]
    return [(each["status"], each["code"]) for each in body["events"]]


def test_each_event_gets_its_own_code(cloud: Cloud, demo: Api, cinder: Api) -> None:
    server, unplaced = cloud.server(demo, host="node1", networks=[HELD]), cloud.server(demo)
    began = len(cloud.ledger.started)
    plugged = {"name": "network-vif-plugged", "server_uuid": server, "tag": "p", "status": "completed"}
    power = {"name": "power-update", "server_uuid": server, "tag": "POWER_OFF"}
    gone = {"name": "network-vif-deleted", "server_uuid": server, "tag": "another"}
    foreign = {"name": "network-changed", "server_uuid": server, "tag": "another"}
    reimaged = {"name": "volume-reimaged", "server_uuid": server, "tag": "v"}
    assert tell(cinder, plugged, power, gone, foreign, reimaged) == [("completed", 200)] * 5
    assert len(cloud.ledger.started) == began, "nothing of that is news"
    codes = tell(
        cinder,
        {"name": "network-changed", "server_uuid": str(uuid.uuid4())},
        {"name": "network-changed", "server_uuid": unplaced},
        {"name": "volume-extended", "server_uuid": server},
        {"name": "accelerator-request-bound", "server_uuid": server, "tag": "a"},
        {"name": "network-changed", "server_uuid": server},
        {"name": "network-changed", "server_uuid": server, "tag": "p"},
        status=207,
    )
    assert [code for _, code in codes] == [404, 422, 400, 501, 200, 200]
    assert [word for word, _ in codes] == ["failed"] * 4 + ["completed"] * 2
    assert cloud.ledger.started[began:] == [(server, "refresh_network")] * 2


def test_a_port_that_was_deleted_leaves_the_server(cloud: Cloud, demo: Api, cinder: Api) -> None:
    server = cloud.server(demo, host="node1", networks=[HELD, HELD | {"port_id": "q"}])
    both = [{"name": "network-vif-deleted", "server_uuid": server, "tag": tag} for tag in ("p", "q")]
    tell(cinder, *both)
    assert cloud.ledger.started[-2:] == [(server, "detach_interface")] * 2
    assert cloud.ledger.bodies[-2:] == [{"port_id": "p"}, {"port_id": "q"}]
    (action, *_) = demo.get(f"/servers/{server}/os-instance-actions")["instanceActions"]
    assert action["project_id"] == demo.project_id
    suspended = cloud.server(demo, host="node1", vm_state="suspended", networks=[HELD])
    assert tell(cinder, both[0] | {"server_uuid": suspended}, status=207) == [("failed", 409)]


def test_a_volume_that_has_grown_is_shown_to_its_server(cloud: Cloud, demo: Api, cinder: Api) -> None:
    volume = {"volume_id": str(uuid.uuid4()), "attachment_id": "a", "device": "vdb"}
    server = cloud.server(demo, host="node1", volumes=[volume])
    grown = {"name": "volume-extended", "server_uuid": server, "tag": volume["volume_id"]}
    tell(cinder, grown, grown | {"tag": str(uuid.uuid4())}, version="2.51")
    assert cloud.ledger.started[-1] == (server, "extend_volume")
    assert cloud.ledger.bodies[-1] == {"volume_id": volume["volume_id"]}
    began = len(cloud.ledger.started)
    tell(cinder, grown | {"tag": str(uuid.uuid4())})
    assert len(cloud.ledger.started) == began, "none of its volumes"
    busy = cloud.server(demo, host="node1", volumes=[volume], task_state="powering-off")
    assert tell(cinder, grown | {"server_uuid": busy}, status=207) == [("failed", 409)]


@pytest.mark.parametrize(
    ("events", "version"),
    [
        ([], "2.96"),
        ("x", "2.96"),
        ([{"name": "network-changed"}], "2.96"),
        ([{"name": "network-changed", "server_uuid": "x"}], "2.96"),
        ([{"name": "sunrise", "server_uuid": str(uuid.uuid4())}], "2.96"),
        ([{"name": "network-changed", "server_uuid": str(uuid.uuid4()), "status": "well"}], "2.96"),
        ([{"name": "network-changed", "server_uuid": str(uuid.uuid4()), "tag": None}], "2.96"),
        ([{"name": "network-changed", "server_uuid": str(uuid.uuid4()), "more": 1}], "2.96"),
        ([{"name": "volume-extended", "server_uuid": str(uuid.uuid4()), "tag": "v"}], "2.50"),
        ([{"name": "power-update", "server_uuid": str(uuid.uuid4()), "tag": "POWER_ON"}], "2.75"),
        ([{"name": "accelerator-request-bound", "server_uuid": str(uuid.uuid4()), "tag": "a"}], "2.81"),
        ([{"name": "volume-reimaged", "server_uuid": str(uuid.uuid4()), "tag": "v"}], "2.92"),
    ],
)
def test_what_is_no_event(cinder: Api, events: Any, version: str) -> None:
    cinder.refused("POST", "/os-server-external-events", 400, version, json={"events": events})


def test_only_services_tell(cloud: Cloud, demo: Api, admin: Api) -> None:
    event = {"name": "network-changed", "server_uuid": cloud.server(demo, host="node1")}
    demo.refused("POST", "/os-server-external-events", 403, json={"events": [event]})
    tell(admin, event)
