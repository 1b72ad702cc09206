"""PUT of a volume attachment: what may change (2.85), what may not, and who may swap."""

import uuid
from typing import Any

import pytest

from tests.compute.conftest import Api, Cloud

VOLUME = str(uuid.uuid4())
HELD = {"volume_id": VOLUME, "attachment_id": "a", "device": "vdb", "tag": "data", "delete_on_termination": False}


def path(server: str, volume: str = VOLUME) -> str:
    return f"/servers/{server}/os-volume_attachments/{volume}"


def wish(**asked: Any) -> dict[str, Any]:
    return {"volumeAttachment": {"volumeId": VOLUME, **asked}}


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


def test_a_swap_is_for_services_and_not_built(cloud: Cloud, demo: Api, admin: Api, server: str) -> None:
    other = {"volumeAttachment": {"volumeId": str(uuid.uuid4())}}
    demo.refused("PUT", path(server), 403, json=other)
    demo.refused("PUT", path(server), 403, "2.84", json=wish())
    assert "Swapping" in admin.refused("PUT", path(server), 501, json=other)
    assert "Swapping" in admin.refused("PUT", path(server), 501, "2.84", json=wish())


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
