"""Attaching by the volume's own actions, as Terraform's blockstorage_volume_attach_v3 and old Novas do it."""

import uuid
from typing import Any

from tests.volume.cloud import Cloud, io, nbd_url

CONNECTOR = {"host": "devstack", "ip": "192.0.2.1", "initiator": "iqn.x", "multipath": False, "os_type": "linux"}


def act(cloud: Cloud, volume: str, name: str, given: Any = None, **options: Any) -> Any:
    return cloud.call("POST", f"/volumes/{volume}/action", {name: {} if given is None else given}, **options)


def test_terraforms_way(cloud: Cloud) -> None:
    volume = cloud.volume()
    answer = act(cloud, volume, "os-initialize_connection", {"connector": CONNECTOR})
    assert answer.status_code == 200
    info = answer.json()["connection_info"]
    assert info["driver_volume_type"] == "nbd"
    assert io(nbd_url(info), "write -P 7 0 64k", "flush")
    again = act(cloud, volume, "os-initialize_connection", {"connector": CONNECTOR}).json()["connection_info"]
    assert again["export"] == info["export"], "a repeat gets the same export"
    attach = {"mountpoint": "/dev/vdc", "mode": "rw", "host_name": "devstack"}
    assert act(cloud, volume, "os-attach", attach).status_code == 202
    shown = cloud.ok("GET", f"/volumes/{volume}")["volume"]
    assert shown["status"] == "in-use" and shown["attachments"][0]["device"] == "/dev/vdc"
    other = {"connector": CONNECTOR | {"host": "elsewhere"}}
    assert act(cloud, volume, "os-initialize_connection", other).status_code == 400, "one host at a time"
    assert (
        act(cloud, volume, "os-detach", {"attachment_id": shown["attachments"][0]["attachment_id"]}).status_code == 202
    )
    assert act(cloud, volume, "os-terminate_connection", {"connector": CONNECTOR}).status_code == 202
    assert cloud.status(volume) == "available" and not io(nbd_url(info), "read 0 4k")
    cloud.delete(volume)


def test_a_connection_that_ends_before_anything_was_attached(cloud: Cloud) -> None:
    volume = cloud.volume()
    info = act(cloud, volume, "os-initialize_connection", {"connector": CONNECTOR}).json()["connection_info"]
    assert cloud.ok("GET", f"/attachments?volume_id={volume}")["attachments"] == []
    assert act(cloud, volume, "os-terminate_connection", {"connector": CONNECTOR}).status_code == 202
    assert cloud.status(volume) == "available" and not io(nbd_url(info), "read 0 4k")
    cloud.delete(volume)


def test_reserve_and_detach_marks_roll_back(cloud: Cloud) -> None:
    volume = cloud.volume()
    assert act(cloud, volume, "os-reserve").status_code == 202
    assert cloud.status(volume) == "attaching"
    twice = act(cloud, volume, "os-reserve")
    words = "Volume status must be available to reserve, but the status is attaching."
    assert twice.status_code == 400 and words in twice.json()["badRequest"]["message"]
    assert act(cloud, volume, "os-unreserve").status_code == 202
    assert cloud.status(volume) == "available"
    assert act(cloud, volume, "os-begin_detaching").status_code == 400
    attachment = cloud.attach(volume, instance_uuid=str(uuid.uuid4()))
    assert act(cloud, volume, "os-begin_detaching").status_code == 202
    assert cloud.status(volume) == "detaching"
    assert act(cloud, volume, "os-roll_detaching").status_code == 202
    assert cloud.status(volume) == "in-use"
    assert act(cloud, volume, "os-detach").status_code == 409, "a server's volume is detached by the compute API"
    assert act(cloud, volume, "os-force_detach").status_code == 403
    forced = act(cloud, volume, "os-force_detach", {"attachment_id": attachment["id"]}, user="admin")
    assert forced.status_code == 202 and cloud.status(volume) == "available"
    assert not io(nbd_url(attachment["connection_info"]), "read 0 4k")
    cloud.delete(volume)


def test_what_a_connector_lacks_or_has_too_much_of(cloud: Cloud) -> None:
    volume = cloud.volume()
    missing = act(cloud, volume, "os-initialize_connection", {"connector": {"ip": "192.0.2.1"}})
    assert missing.status_code == 400 and "host" in missing.json()["badRequest"]["message"]
    huge = CONNECTOR | {"notes": "x" * 100000, "deep": {"a": [1]}} | {f"k{n}": "v" for n in range(1000)}
    assert act(cloud, volume, "os-initialize_connection", {"connector": huge}).status_code == 200
    assert act(cloud, volume, "os-terminate_connection", {"connector": None}).status_code == 202
    strange = act(cloud, volume, "os-detach", {"attachment_id": None, "color": "red"})
    assert strange.status_code == 400 and "'color' was unexpected" in strange.json()["badRequest"]["message"]
    for bad in (
        {"mountpoint": "/dev/vdb"},
        {"mountpoint": "", "host_name": "x"},
        {"mountpoint": "/dev/vdb", "mode": "w"},
    ):
        assert act(cloud, volume, "os-attach", bad).status_code == 400, bad
    assert cloud.status(volume) == "available"
    cloud.delete(volume)
