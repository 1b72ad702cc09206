"""Volume attachments: what a PUT may change (2.85), what not, who may swap; volumes for several servers (2.60)."""

import uuid
from typing import Any

import httpx
import pytest
from fastapi.concurrency import run_in_threadpool

from api.compute.operations import Busy
from infra.contracts.operation import ActionRequest
from infra.tables.compute import ComputeNode
from tests.compute.conftest import HTTP, Api, Cloud
from workflows.action import Action
from workflows.requests import Accepted

VOLUME = str(uuid.uuid4())
HELD = {"volume_id": VOLUME, "attachment_id": "a", "device": "vdb", "tag": "data", "delete_on_termination": False}


def path(server: str, volume: str = VOLUME) -> str:
    return f"/servers/{server}/os-volume_attachments/{volume}"


def wish(**asked: Any) -> dict[str, Any]:
    return {"volumeAttachment": {"volumeId": VOLUME, **asked}}


def swap(volume: str, **asked: Any) -> dict[str, Any]:
    return {"volumeAttachment": {"volumeId": volume, **asked}}


def reset(cloud: Cloud, admin: Api, volume: str, status: str) -> None:
    url, headers = cloud.settings.url("volume", f"/v3/volumes/{volume}/action"), {"X-Auth-Token": admin.token}
    httpx.post(url, json={"os-reset_status": {"status": status}}, headers=headers, **HTTP).raise_for_status()


@pytest.fixture(scope="module")
def server(cloud: Cloud, demo: Api) -> str:
    return cloud.server(demo, host="node1", volumes=[HELD])


def test_delete_on_termination_is_changed(cloud: Cloud, demo: Api, server: str) -> None:
    same = {"id": VOLUME, "serverId": server, "device": "/dev/vdb", "tag": "data"}
    demo.put(path(server), wish(delete_on_termination=True, **same), 202)
    assert cloud.ledger.started[-1] == (server, "update_attachment")
    assert cloud.ledger.bodies[-1] == {"volume_id": VOLUME, "delete_on_termination": True}
    began = len(cloud.ledger.started)
    demo.put(path(server), wish(), 202)
    assert len(cloud.ledger.started) == began, "nothing was to change"


@pytest.mark.parametrize(
    ("asked", "words", "version"),
    [
        ({"id": str(uuid.uuid4())}, "The id property is not mutable", "2.85"),
        ({"serverId": str(uuid.uuid4())}, "The serverId property is not mutable", "2.85"),
        ({"device": "/dev/vdz"}, "The device property is not mutable", "2.85"),
        ({"tag": "other"}, "The tag property is not mutable", "2.85"),
        ({"tag": "data"}, "'tag' was unexpected", "2.84"),
        ({"delete_on_termination": True}, "'delete_on_termination' was unexpected", "2.84"),
        ({"delete_on_termination": "maybe"}, "delete_on_termination", "2.85"),
        ({"more": 1}, "'more' was unexpected", "2.85"),
    ],
)
def test_what_may_not_change(demo: Api, server: str, asked: dict[str, Any], words: str, version: str) -> None:
    assert words in demo.refused("PUT", path(server), 400, version, json=wish(**asked))


def test_a_swap_is_for_services_and_takes_volumes_that_are_free_and_large_enough(
    cloud: Cloud, demo: Api, admin: Api, server: str
) -> None:
    nothing = str(uuid.uuid4())
    demo.refused("PUT", path(server), 403, json=swap(nothing))
    demo.refused("PUT", path(server), 403, "2.84", json=wish())
    assert f"Volume {VOLUME} could not be found." in admin.refused("PUT", path(server), 404, json=swap(nothing))
    old, new = cloud.volume(demo, size=2), cloud.volume(demo, size=2)
    own = cloud.server(demo, host="node1", volumes=[HELD | {"volume_id": old}])
    small = cloud.volume(demo)

    def refused(volume: str, status: int = 400) -> str:
        return admin.refused("PUT", path(own, old), status, json=swap(volume))

    assert refused(nothing) == f"Volume {nothing} could not be found."
    assert refused(small) == "Invalid volume: New volume must be the same size or larger."
    taken = cloud.volume(demo, size=2)
    reset(cloud, admin, taken, "in-use")
    assert "status must be 'available'. Currently in 'in-use'" in refused(taken)
    held = {"attachment": {"volume_uuid": small, "instance_uuid": own, "connector": None}}
    headers = {"X-Auth-Token": admin.token, "OpenStack-API-Version": "volume 3.44"}
    url = cloud.settings.url("volume", "/v3/attachments")
    httpx.post(url, json=held, headers=headers, **HTTP).raise_for_status()
    larger = cloud.volume(demo, size=3)
    assert "Of the server's host: its worker cannot larger-swaps." in refused(larger)
    with cloud.database.write() as session:
        capacity: dict[str, Any] = {"vcpus": 1, "memory_mb": 1, "disk_gb": 1, "facts": {"abilities": ["larger-swaps"]}}
        session.add(ComputeNode(host="node1", id=str(uuid.uuid4()), **capacity))
    admin.put(path(own, old), swap(larger), 202, "2.84")
    admin.put(path(own, old), swap(new), 202, "2.84")
    body = cloud.ledger.bodies[-1]
    assert cloud.ledger.started[-1] == (own, "swap_volume") and uuid.UUID(body["attachment_id"])
    assert body | {"attachment_id": ""} == {
        "volume_id": old,
        "new_volume_id": new,
        "attachment_id": "",
    }
    admin.put(path(own, old), swap(new, delete_on_termination=True, device="/dev/vdb"), 202)
    assert cloud.ledger.bodies[-1]["delete_on_termination"] is True
    assert "not mutable" in admin.refused("PUT", path(own, old), 400, json=swap(new, tag="other"))
    stopped = cloud.server(demo, host="node1", vm_state="stopped", volumes=[HELD | {"volume_id": old}])
    words = admin.refused("PUT", path(stopped, old), 409, json=swap(new))
    assert words == f"Cannot 'swap_volume' instance {stopped} while it is in vm_state stopped"


def test_absent_locked_and_busy(cloud: Cloud, demo: Api, other: Api, server: str) -> None:
    nowhere = str(uuid.uuid4())
    words = demo.refused("PUT", path(server, nowhere), 404, json={"volumeAttachment": {"volumeId": nowhere}})
    assert words == f"No volume Block Device Mapping with id {nowhere}."
    other.refused("PUT", path(server), 404, json=wish())
    locked = cloud.server(demo, host="node1", volumes=[HELD], locked=True)
    asked = wish(delete_on_termination=True)
    assert demo.refused("PUT", path(locked), 409, json=asked) == f"Instance {locked} is locked"
    busy = cloud.server(demo, host="node1", volumes=[HELD], task_state="attaching")
    words = demo.refused("PUT", path(busy), 409, json=asked)
    assert words == f"Cannot 'update_volume_attachment' instance {busy} while it is in task_state attaching"


@pytest.mark.parametrize(("task_state", "status"), [("detaching", 400), ("attaching", 409)])
def test_a_detach_that_is_asked_for_again(
    cloud: Cloud, demo: Api, server: str, monkeypatch: pytest.MonkeyPatch, task_state: str, status: int
) -> None:
    """Terraform asks until the attachment is gone: it goes on after a 400, and gives up after a 409."""

    async def busy(action: Action, request: ActionRequest) -> Accepted:
        raise Busy(action.name, request.instance_id, task_state)

    monkeypatch.setattr(cloud.ledger, "start", busy)
    assert f"while it is in task_state {task_state}" in demo.refused("DELETE", path(server), status)


def test_a_volume_for_several_servers_needs_a_client_that_knows_of_it(cloud: Cloud, demo: Api, admin: Api) -> None:
    url = cloud.settings.url("volume", "/v3")
    kind = {"name": f"multi-{uuid.uuid4()}", "extra_specs": {"multiattach": "<is> True"}}
    headers = {"X-Auth-Token": admin.token}
    httpx.post(f"{url}/types", json={"volume_type": kind}, headers=headers, **HTTP).raise_for_status()
    volume, server = cloud.volume(demo, volume_type=kind["name"]), cloud.server(demo, host="node1")
    asked = {"volumeAttachment": {"volumeId": volume}}
    words = demo.refused("POST", f"/servers/{server}/os-volume_attachments", 400, "2.59", json=asked)
    assert words == "Multiattach volumes are only supported starting with compute API version 2.60."
    demo.post(f"/servers/{server}/os-volume_attachments", asked, 200, "2.60")
    assert cloud.ledger.started[-1] == (server, "attach_volume")


def test_the_look_at_a_volume_begins_before_that_at_its_server(
    cloud: Cloud, demo: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes longer, and what it says is heard last all the same.

    Switched off by: `attach_volume` going on without letting it begin."""
    begun: list[str] = []

    async def seen(work: Any, *args: Any) -> Any:
        begun.append(work.__name__)
        return await run_in_threadpool(work, *args)

    monkeypatch.setattr("api.compute.routes.volume_attachments.run_in_threadpool", seen)
    server, volume = cloud.server(demo, host="node1"), cloud.volume(demo)
    demo.post(f"/servers/{server}/os-volume_attachments", {"volumeAttachment": {"volumeId": volume}}, 202)
    nowhere = {"volumeAttachment": {"volumeId": str(uuid.uuid4())}}
    words = demo.refused("POST", f"/servers/{uuid.uuid4()}/os-volume_attachments", 404, json=nowhere)
    assert words.startswith("Instance")
    assert begun == ["volume", "_wanted"] * 2
