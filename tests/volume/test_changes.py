"""Volumes that exist get larger, older, other bytes, or become images: also in use, also when the service dies."""

import json
import signal
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any, cast

import pytest
from sqlmodel import select

from api.volume.files import Files
from api.volume.reserve import Reserve
from api.volume.types import FIRST_ID
from api.volume.work import Work
from infra.database import Database
from infra.tables.volume import Snapshot, Volume
from tests.volume.cloud import Cloud, io, nbd_url, until
from tests.volume.events import EventServer
from tests.volume.images import ImageServer

RAW = b"boot" * 1024 + bytes(1 << 20) + b"tail" * 1000


def act(cloud: Cloud, volume: str, name: str, given: Any, **options: Any) -> Any:
    return cloud.call("POST", f"/volumes/{volume}/action", {name: given}, **options)


def size_by_nbd(attachment: dict[str, Any]) -> int:
    done = subprocess.run(
        ["qemu-img", "info", "--output=json", nbd_url(attachment["connection_info"])], capture_output=True, text=True
    )
    return int(json.loads(done.stdout)["virtual-size"]) if done.returncode == 0 else 0


# Growth


def test_extended_in_use_the_server_sees_it_and_compute_is_told(cloud: Cloud, compute: EventServer) -> None:
    volume, server = cloud.volume(), str(uuid.uuid4())
    attachment = cloud.attach(volume, instance_uuid=server)
    assert io(nbd_url(attachment["connection_info"]), "write -P 5 0 1M", "flush")
    old = act(cloud, volume, "os-extend", {"new_size": 2}, version="3.41")
    assert old.status_code == 400 and "to extend, currently in-use" in old.json()["badRequest"]["message"]
    compute.down = compute.busy = 1
    assert act(cloud, volume, "os-extend", {"new_size": 2}, version="3.42").status_code == 202
    until(lambda: cloud.status(volume) == "in-use")
    assert cloud.ok("GET", f"/volumes/{volume}")["volume"]["size"] == 2
    assert size_by_nbd(attachment) == 2 << 30, "the same export, under the same name, has the new size"
    assert io(nbd_url(attachment["connection_info"]), "read -P 5 0 1M", "write -P 6 1536M 1M", "flush")
    told = until(lambda: compute.told)
    assert told == [("compute 2.51", {"name": "volume-extended", "server_uuid": server, "tag": volume})]
    cloud.ok("DELETE", f"/attachments/{attachment['id']}", user="nova")
    cloud.delete(volume)


def test_growth_goes_on_after_the_service_or_the_daemon_was_killed(cloud: Cloud, compute: EventServer) -> None:
    volume = cloud.volume()
    attachment = cloud.attach(volume, instance_uuid=str(uuid.uuid4()))
    for size, killed in ((2, "volume"), (3, "nbd")):
        cloud.processes["nbd"].send_signal(signal.SIGSTOP)  # the exports cannot be opened anew
        assert act(cloud, volume, "os-extend", {"new_size": size}).status_code == 202
        assert cloud.status(volume) == "extending"
        nbd = cloud.processes["nbd"]
        cloud.kill(killed)
        if killed == "volume":
            nbd.send_signal(signal.SIGCONT)
        cloud.start(killed)
        until(lambda: cloud.status(volume) == "in-use", 30)
        assert until(lambda s=size: size_by_nbd(attachment) == s << 30, 10)
    cloud.ok("DELETE", f"/attachments/{attachment['id']}", user="nova")
    cloud.delete(volume)


def test_refusals_of_growth(cloud: Cloud) -> None:
    volume, path = cloud.volume(size=2), f"/os-quota-sets/{cloud.project_ids['demo']}"
    for size in (0, -1, 1, 2, "x", "²", True, 2**31, 10**30, None, 1.5):
        assert act(cloud, volume, "os-extend", {"new_size": size}).status_code == 400, size
    assert act(cloud, volume, "os-extend", {"new_size": 3, "more": 1}).status_code == 400
    cloud.ok("PUT", path, {"quota_set": {"per_volume_gigabytes": 4}}, user="admin")
    refused = act(cloud, volume, "os-extend", {"new_size": 5})
    words = "Requested volume size 5G is larger than maximum allowed limit 4G."
    assert refused.status_code == 413 and refused.json()["overLimit"]["message"] == words
    cloud.ok("PUT", path, {"quota_set": {"per_volume_gigabytes": -1}}, user="admin")
    assert act(cloud, volume, "os-extend", {"new_size": "3"}).status_code == 202
    cloud.delete(volume)


# Revert


def test_revert_to_the_latest_snapshot(cloud: Cloud) -> None:
    volume = cloud.volume()
    attachment = cloud.attach(volume)
    assert io(nbd_url(attachment["connection_info"]), "write -P 1 0 4M", "flush")
    older, latest = cloud.snapshot(volume), cloud.snapshot(volume)
    assert io(nbd_url(attachment["connection_info"]), "write -P 2 0 4M", "flush")
    busy = act(cloud, volume, "revert", {"snapshot_id": latest})
    assert busy.status_code == 409 and "must be 'available'" in busy.json()["conflictingRequest"]["message"]
    cloud.ok("DELETE", f"/attachments/{attachment['id']}", user="nova")
    assert act(cloud, volume, "revert", {"snapshot_id": latest}, version="3.39").status_code == 404
    not_latest = act(cloud, volume, "revert", {"snapshot_id": older})
    assert not_latest.status_code == 400 and "not the latest" in not_latest.json()["badRequest"]["message"]
    assert act(cloud, volume, "revert", {"snapshot_id": latest}).status_code == 202
    until(lambda: cloud.status(volume) == "available")
    assert io(str(cloud.file(volume)), "read -P 1 0 4M", read_only=True)
    assert cloud.ok("GET", f"/snapshots/{latest}")["snapshot"]["status"] == "available"
    cloud.call("DELETE", f"/volumes/{volume}?cascade=true")


# Re-image


def test_an_image_is_written_over_a_servers_volume(cloud: Cloud, images: ImageServer, compute: EventServer) -> None:
    volume, server = cloud.volume(), str(uuid.uuid4())
    body = {"attachment": {"volume_uuid": volume, "instance_uuid": server}}
    reserved = cloud.ok("POST", "/attachments", body, user="nova")["attachment"]
    wanted = {"image_id": images.add(RAW, name="new")}
    assert act(cloud, volume, "os-reimage", wanted).status_code == 400, "reserved, and not told to go on so"
    assert act(cloud, volume, "os-reimage", wanted | {"reimage_reserved": True}, version="3.67").status_code == 404
    assert act(cloud, volume, "os-reimage", wanted | {"reimage_reserved": True}, user="nova").status_code == 202
    until(lambda: cloud.status(volume) == "reserved")
    shown = cloud.ok("GET", f"/volumes/{volume}")["volume"]
    assert shown["volume_image_metadata"]["image_name"] == "new" and shown["bootable"] == "true"
    with cloud.file(volume).open("rb") as file:
        assert file.read(len(RAW)) == RAW
    told = until(lambda: compute.told)
    assert told == [("compute 2.93", {"name": "volume-reimaged", "server_uuid": server, "tag": volume})]
    cloud.ok("DELETE", f"/attachments/{reserved['id']}", user="nova")
    assert cloud.status(volume) == "available"
    bad = {"image_id": images.add(RAW, os_hash_value="0" * 128)}
    assert act(cloud, volume, "os-reimage", bad).status_code == 202
    until(lambda: cloud.status(volume) == "error")
    cloud.delete(volume)


# Upload


def uploaded(cloud: Cloud, volume: str, **wanted: Any) -> dict[str, Any]:
    answer = act(cloud, volume, "os-volume_upload_image", {"image_name": "made"} | wanted)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()["os-volume_upload_image"]
    return found


def test_volume_becomes_an_image(cloud: Cloud, images: ImageServer) -> None:
    volume = cloud.volume(source_volid=None)
    attachment = cloud.attach(volume, instance_uuid=str(uuid.uuid4()))
    assert io(nbd_url(attachment["connection_info"]), "write -P 3 0 2M", "flush")
    in_use = act(cloud, volume, "os-volume_upload_image", {"image_name": "made"})
    assert in_use.status_code == 400
    told = uploaded(cloud, volume, force=True, disk_format="qcow2", visibility="private", protected=False)
    assert (told["status"], told["disk_format"], told["image_name"]) == ("uploading", "qcow2", "made")
    until(lambda: cloud.status(volume) == "in-use")
    assert images.images[told["image_id"]]["status"] == "active"
    assert images.data[told["image_id"]][:4] == b"QFI\xfb"
    assert not list(cloud.file(volume).parent.glob("*.part"))
    cloud.ok("DELETE", f"/attachments/{attachment['id']}", user="nova")
    again = cloud.volume(imageRef=told["image_id"])
    assert io(str(cloud.file(again)), "read -P 3 0 2M", "read -P 0 2M 8M", read_only=True)
    for unwanted in ({"container_format": "ova"}, {"disk_format": "ploop"}, {"image_name": ""}, {"odd": 1}):
        given = {"image_name": "x"} | unwanted
        assert act(cloud, volume, "os-volume_upload_image", given).status_code == 400, unwanted
    public = {"image_name": "x", "visibility": "public"}
    assert act(cloud, volume, "os-volume_upload_image", public).status_code == 403
    cloud.delete(volume)
    cloud.delete(again)


@pytest.mark.parametrize("kept", [True, False])
def test_upload_cut_by_a_kill_is_finished_or_taken_back(cloud: Cloud, images: ImageServer, kept: bool) -> None:
    volume = cloud.volume()
    images.hold.set()
    image_id = uploaded(cloud, volume)["image_id"]
    assert images.started.wait(10)
    cloud.kill("volume")
    images.release()
    if not kept:
        until(lambda: images.images[image_id]["status"] != "saving")
        del images.images[image_id]
    cloud.start("volume")
    until(lambda: cloud.status(volume) == "available", 60)
    if kept:
        assert images.images[image_id]["status"] == "active" and len(images.data[image_id]) == 1 << 30
    else:
        told = cloud.ok("GET", f"/messages?resource_uuid={volume}")["messages"]
        assert "deleted" in told[0]["user_message"]
        assert cloud.call("DELETE", f"/messages/{told[0]['id']}").status_code == 204
        assert cloud.ok("GET", f"/messages?resource_uuid={volume}")["messages"] == []
    cloud.delete(volume)


def test_an_image_service_that_refuses_leaves_the_volume_as_it_was(cloud: Cloud, images: ImageServer) -> None:
    volume = cloud.volume()
    images.refuse = 413
    refused = act(cloud, volume, "os-volume_upload_image", {"image_name": "x"})
    assert refused.status_code == 413 and cloud.status(volume) == "available"
    cloud.delete(volume)


# Any work that was cut


@pytest.mark.parametrize("pause", [0.0, 0.05, 0.2])
def test_every_kind_of_work_cut_by_a_kill_comes_to_rest(cloud: Cloud, images: ImageServer, pause: float) -> None:
    source = cloud.volume(imageRef=images.add(RAW))
    snapshot = cloud.snapshot(source)
    asked = [
        {"size": 1},
        {"size": 1, "imageRef": images.add(RAW)},
        {"size": 1, "snapshot_id": snapshot},
        {"size": 1, "source_volid": source},
    ]
    made = [cloud.ok("POST", "/volumes", {"volume": body})["volume"]["id"] for body in asked]
    time.sleep(pause)
    cloud.kill("volume")
    cloud.start("volume")
    for volume in made:
        cloud.settled(volume, "available", 60)
    assert act(cloud, source, "revert", {"snapshot_id": snapshot}).status_code == 202
    time.sleep(pause)
    cloud.kill("volume")
    cloud.start("volume")
    until(lambda: cloud.status(source) == "available", 60)
    assert cloud.ok("GET", f"/snapshots/{snapshot}")["snapshot"]["status"] == "available"
    assert not [p for p in Path(cloud.file(source).parent).iterdir() if p.name.endswith(".part")]
    for volume in made:
        cloud.delete(volume)
    cloud.call("DELETE", f"/volumes/{source}?cascade=true")


def test_a_snapshot_is_not_restoring_for_ever(tmp_path: Path) -> None:
    """An administrator's reset of a volume that was being reverted leaves its snapshot behind: the sweep frees it."""
    db = Database("volume", f"sqlite:///{tmp_path / 'volume.sqlite'}")
    db.migrate()
    place = {"project_id": "p", "user_id": "u", "size": 1}
    kind = {"volume_type": "nbd", "volume_type_id": FIRST_ID, "availability_zone": "nova"}
    for name, status in (("a", "available"), ("b", "reverting")):
        with db.write() as session:
            session.add(Volume(id=name, status=status, **place, **kind))
            session.flush()
            session.add(Snapshot(id=f"of-{name}", volume_id=name, status="restoring", **place))
    files = Files(tmp_path / "volumes")
    Work(db, files, cast(Any, None), cast(Any, None), Reserve(files.root)).tidy()
    with db.read() as session:
        found = {row.id: row.status for row in session.exec(select(Snapshot)).all()}
    assert found == {"of-a": "available", "of-b": "restoring"}
    db.engine.dispose()
