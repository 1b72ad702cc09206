"""Snapshots, clones and volumes from snapshots are true copies of one moment, also of a volume in use."""

import signal
import time
import uuid

from tests.volume.cloud import Cloud, io, nbd_url, until


def test_snapshot_of_a_volume_in_use_is_one_moment(cloud: Cloud) -> None:
    volume = cloud.volume(name="live")
    attachment = cloud.attach(volume, instance_uuid=str(uuid.uuid4()))
    url = nbd_url(attachment["connection_info"])
    assert io(url, "write -P 7 0 2M", "flush")
    refused = cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": volume}}, version="3.0")
    assert refused.status_code == 400, "before 3.66 a volume in use needs force"
    unforced = {"snapshot": {"volume_id": volume, "force": False}}
    assert cloud.call("POST", "/snapshots", unforced, version="3.66").status_code == 400, "since 3.66 it is no choice"
    snapshot = cloud.snapshot(volume, name="s1")
    assert io(url, "write -P 8 0 2M", "flush")

    copy = cloud.volume(size=2, snapshot_id=snapshot)
    assert cloud.file(copy).stat().st_size == 2 << 30
    assert io(str(cloud.file(copy)), "read -P 7 0 2M", "read -P 0 2M 64M", read_only=True)
    clone = cloud.volume(source_volid=volume, size=None)
    assert io(str(cloud.file(clone)), "read -P 8 0 2M", read_only=True)
    room = sum(f.stat().st_blocks * 512 for f in cloud.file(copy).parent.glob("*"))
    assert room < 200 << 20, "copies stay sparse"


def test_volume_with_snapshots_is_deleted_only_with_them(cloud: Cloud) -> None:
    volume = cloud.volume()
    snapshots = [cloud.snapshot(volume) for _ in range(2)]
    assert cloud.call("DELETE", f"/volumes/{volume}").status_code == 400
    assert cloud.call("DELETE", f"/volumes/{volume}?cascade=True").status_code == 202
    until(lambda: cloud.status(volume) == "gone")
    assert [cloud.call("GET", f"/snapshots/{s}").status_code for s in snapshots] == [404, 404]
    assert not [f for f in cloud.file(volume).parent.iterdir() if f.name[:36] in (volume, *snapshots)]


def test_a_snapshot_of_nothing(cloud: Cloud) -> None:
    """Of null Cinder has no volume, and without the field it has no request."""
    assert cloud.call("POST", "/snapshots", {"snapshot": {"volume_id": None}}).status_code == 404
    assert cloud.call("POST", "/snapshots", {"snapshot": {"name": "x"}}).status_code == 400


def test_snapshot_life(cloud: Cloud) -> None:
    volume = cloud.volume()
    snapshot = cloud.snapshot(volume, name="a", metadata={"k": "v"})
    shown = cloud.ok("GET", f"/snapshots/{snapshot}")["snapshot"]
    assert shown["os-extended-snapshot-attributes:progress"] == "100%"
    assert (shown["size"], shown["volume_id"], shown["metadata"]) == (1, volume, {"k": "v"})
    cloud.ok("PUT", f"/snapshots/{snapshot}", {"snapshot": {"name": "b"}})
    listed = cloud.ok("GET", f"/snapshots/detail?volume_id={volume}")["snapshots"]
    assert [s["name"] for s in listed] == ["b"]
    smaller = cloud.call("POST", "/volumes", {"volume": {"size": 0, "snapshot_id": snapshot}})
    assert smaller.status_code == 400
    assert cloud.call("DELETE", f"/snapshots/{snapshot}").status_code == 202
    until(lambda: cloud.call("GET", f"/snapshots/{snapshot}").status_code == 404)
    cloud.delete(volume)


def test_attach_while_a_snapshot_is_taken_does_not_spoil_it(cloud: Cloud) -> None:
    volume = cloud.volume()
    first = cloud.attach(volume)
    assert io(nbd_url(first["connection_info"]), "write -P 3 0 96M", "flush")
    cloud.ok("DELETE", f"/attachments/{first['id']}", user="nova")
    snapshot = cloud.ok("POST", "/snapshots", {"snapshot": {"volume_id": volume}})["snapshot"]["id"]
    second = cloud.attach(volume)
    assert io(nbd_url(second["connection_info"]), "write -P 4 95M 1M", "flush")
    until(lambda: cloud.ok("GET", f"/snapshots/{snapshot}")["snapshot"]["status"] == "available")
    copy = cloud.volume(snapshot_id=snapshot)
    last = io(str(cloud.file(copy)), "read -P 3 95M 1M", read_only=True)
    assert io(str(cloud.file(copy)), "read -P 3 0 95M", read_only=True)
    late = io(str(cloud.file(copy)), "read -P 4 95M 1M", read_only=True)
    assert last != late, "the copy has the block as it was at its moment, before or after the write"
    assert io(nbd_url(second["connection_info"]), "read -P 4 95M 1M")


def test_snapshot_goes_on_after_the_daemon_was_killed(cloud: Cloud) -> None:
    volume = cloud.volume()
    attachment = cloud.attach(volume)
    assert io(nbd_url(attachment["connection_info"]), "write -P 9 0 200M", "flush")
    snapshot = cloud.ok("POST", "/snapshots", {"snapshot": {"volume_id": volume}})["snapshot"]["id"]
    cloud.kill("nbd")
    cloud.start("nbd")
    until(lambda: cloud.ok("GET", f"/snapshots/{snapshot}")["snapshot"]["status"] == "available")
    copy = cloud.volume(snapshot_id=snapshot)
    assert io(str(cloud.file(copy)), "read -P 9 0 200M", read_only=True)


def test_snapshot_goes_on_after_the_service_was_killed(cloud: Cloud) -> None:
    volume = cloud.volume()
    attachment = cloud.attach(volume)
    assert io(nbd_url(attachment["connection_info"]), "write -P 5 0 64M", "flush")
    for pause in (0.0, 0.1, 0.3):
        snapshot = cloud.ok("POST", "/snapshots", {"snapshot": {"volume_id": volume}})["snapshot"]["id"]
        time.sleep(pause)
        cloud.processes["nbd"].send_signal(signal.SIGSTOP)
        time.sleep(0.1)
        cloud.kill("volume")
        cloud.processes["nbd"].send_signal(signal.SIGCONT)
        cloud.start("volume")
        until(lambda s=snapshot: cloud.ok("GET", f"/snapshots/{s}")["snapshot"]["status"] == "available")
        copy = cloud.volume(snapshot_id=snapshot)
        assert io(str(cloud.file(copy)), "read -P 5 0 64M", read_only=True)
    assert not list(cloud.file(volume).parent.glob("*.part"))
