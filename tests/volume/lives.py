"""What is made, changed and ended through the volume API at one microversion: for each place a whole life."""

import uuid
from collections.abc import Callable

from tests.volume.cloud import until
from tests.volume.walker import BYTES, Walker

CONNECTOR = {"host": "host1", "ip": "192.0.2.1", "initiator": "iqn.x"}
WORDS = {"metadata": {"key": "value"}}
FIRST, REVERT, REIMAGE, NEWEST = 0, 40, 68, 71


def with_metadata(walker: Walker, place: str, minor: int) -> None:
    for method, rest, body in (
        ("POST", "", WORDS),
        ("PUT", "", WORDS),
        ("PUT", "/key", {"meta": {"key": "other"}}),
        ("DELETE", "/key", None),
    ):
        walker.ok(method, f"{place}/metadata{rest}", minor, body)


def volumes(walker: Walker, minor: int) -> None:
    cloud = walker.cloud
    volume = walker.ok("POST", "/volumes", minor, {"volume": {"size": 1, "name": "n"}})["volume"]["id"]
    cloud.settled(volume, "available")
    walker.ok("PUT", f"/volumes/{volume}", minor, {"volume": {"name": "other"}})
    with_metadata(walker, f"/volumes/{volume}", minor)
    if minor in (FIRST, REVERT, REIMAGE, NEWEST):
        facts(walker, volume, minor)
        connections(walker, volume, minor)
        contents(walker, volume, minor)
    walker.ok("DELETE", f"/volumes/{volume}?cascade=true", minor)
    until(lambda: cloud.status(volume) == "gone")


def facts(walker: Walker, volume: str, minor: int) -> None:
    for name, given in {
        "os-set_image_metadata": {"metadata": {"os": "x"}},
        "os-show_image_metadata": {},
        "os-unset_image_metadata": {"key": "os"},
        "os-set_bootable": {"bootable": True},
        "os-update_readonly_flag": {"readonly": False},
        "os-reserve": {},
        "os-unreserve": {},
    }.items():
        walker.act(minor, volume, name, given)
    walker.act(minor, volume, "os-reset_status", {"status": "available"}, "admin")
    doomed = walker.cloud.volume()
    walker.act(minor, doomed, "os-force_delete", user="admin")
    until(lambda: walker.cloud.status(doomed) == "gone")


def connections(walker: Walker, volume: str, minor: int) -> None:
    attached = {"mountpoint": "/dev/vdb", "mode": "rw", "host_name": "host1"}
    for ending, user in (("os-detach", "demo"), ("os-force_detach", "admin")):
        walker.act(minor, volume, "os-initialize_connection", {"connector": CONNECTOR})
        walker.act(minor, volume, "os-attach", attached)
        walker.act(minor, volume, "os-begin_detaching")
        walker.act(minor, volume, "os-roll_detaching")
        walker.act(minor, volume, ending, user=user)
        if ending == "os-detach":
            walker.act(minor, volume, "os-terminate_connection", {"connector": CONNECTOR})
        until(lambda: walker.cloud.status(volume) == "available")


def contents(walker: Walker, volume: str, minor: int) -> None:
    cloud, ready = walker.cloud, lambda: walker.cloud.status(volume) == "available"
    walker.act(minor, volume, "os-extend", {"new_size": 2})
    until(ready)
    walker.act(minor, volume, "os-retype", {"new_type": "walked", "migration_policy": "never"})
    uploaded = {"image_name": "made", "disk_format": "qcow2", "container_format": "bare"}
    walker.act(minor, volume, "os-volume_upload_image", uploaded)
    until(ready)
    if minor >= REVERT:
        latest = cloud.snapshot(volume)
        walker.act(minor, volume, "revert", {"snapshot_id": latest})
        until(ready)
    if minor >= REIMAGE:
        walker.act(minor, volume, "os-reimage", {"image_id": walker.images.add(BYTES)})
        until(ready)


def snapshots(walker: Walker, minor: int) -> None:
    wanted = {"snapshot": {"volume_id": walker.ids["volumes"], "name": "n", "force": True}}
    made = walker.ok("POST", "/snapshots", minor, wanted)["snapshot"]["id"]
    place = f"/snapshots/{made}"
    until(lambda: walker.cloud.ok("GET", place)["snapshot"]["status"] == "available")
    walker.ok("PUT", place, minor, {"snapshot": {"name": "other"}})
    with_metadata(walker, place, minor)
    walker.ok("POST", f"{place}/action", minor, {"os-reset_status": {"status": "available"}}, "admin")
    walker.ok("DELETE", place, minor)


def attachments(walker: Walker, minor: int) -> None:
    volume = walker.cloud.volume()
    wanted = {"volume_uuid": volume, "instance_uuid": str(uuid.uuid4())} | ({"mode": "rw"} if minor >= 54 else {})
    if minor < 54:
        early = {"attachment": wanted | {"mode": "rw"}}
        assert walker.ask("POST", "/attachments", minor, early).status_code == 400
    made = walker.ok("POST", "/attachments", minor, {"attachment": wanted}, "nova")["attachment"]["id"]
    walker.ok("PUT", f"/attachments/{made}", minor, {"attachment": {"connector": CONNECTOR}}, "nova")
    if minor >= 44:
        walker.ok("POST", f"/attachments/{made}/action", minor, {"os-complete": {}}, "nova")
    walker.ok("DELETE", f"/attachments/{made}", minor, user="nova")
    walker.cloud.delete(volume)


def transfers(place: str) -> Callable[[Walker, int], None]:
    def live(walker: Walker, minor: int) -> None:
        volume = walker.cloud.volume()
        wanted = {"volume_id": volume, "name": "gift"} | ({"no_snapshots": True} if minor >= 55 else {})
        if minor < 55:
            early = {"transfer": wanted | {"no_snapshots": True}}
            assert walker.ask("POST", f"/{place}", minor, early).status_code == 400
        back = walker.ok("POST", f"/{place}", minor, {"transfer": wanted})["transfer"]["id"]
        walker.ok("DELETE", f"/{place}/{back}", minor)
        made = walker.ok("POST", f"/{place}", minor, {"transfer": wanted})["transfer"]
        key = {"accept": {"auth_key": made["auth_key"]}}
        walker.ok("POST", f"/{place}/{made['id']}/accept", minor, key, "admin")
        walker.cloud.delete(volume)

    return live


def types(walker: Walker, minor: int) -> None:
    wanted = {"volume_type": {"name": "brief", "os-volume-type-access:is_public": False}}
    place = f"/types/{walker.ok('POST', '/types', minor, wanted, 'admin')['volume_type']['id']}"
    project = {"project": walker.ids["project"]}
    for method, rest, body in (
        ("PUT", "", {"volume_type": {"description": "d"}}),
        ("POST", "/action", {"addProjectAccess": project}),
        ("POST", "/action", {"removeProjectAccess": project}),
        ("POST", "/extra_specs", {"extra_specs": {"multiattach": "<is> False"}}),
        ("PUT", "/extra_specs/multiattach", {"multiattach": "<is> True"}),
        ("DELETE", "/extra_specs/multiattach", None),
        ("DELETE", "", None),
    ):
        walker.ok(method, place + rest, minor, body, "admin")


def default_types(walker: Walker, minor: int) -> None:
    place = f"/default-types/{walker.ids['project']}"
    walker.ok("DELETE", place, minor, user="admin")
    walker.ok("PUT", place, minor, {"default_type": {"volume_type": "nbd"}}, "admin")


def quotas(walker: Walker, minor: int) -> None:
    place = f"/os-quota-sets/{uuid.uuid4().hex}"
    walker.ok("PUT", place, minor, {"quota_set": {"volumes": 5}}, "admin")
    walker.ok("DELETE", place, minor, user="admin")


def quota_classes(walker: Walker, minor: int) -> None:
    before = walker.ok("GET", "/os-quota-class-sets/default", minor, user="admin")["quota_class_set"]
    same = {"quota_class_set": {"volumes": before["volumes"]}}
    walker.ok("PUT", "/os-quota-class-sets/default", minor, same, "admin")


def messages(walker: Walker, minor: int) -> None:
    failed = walker.failed()
    (told,) = walker.ok("GET", f"/messages?resource_uuid={failed}", NEWEST)["messages"]
    walker.ok("DELETE", f"/messages/{told['id']}", minor)
    walker.cloud.delete(failed)


LIVES: dict[str, Callable[[Walker, int], None]] = {
    "volumes": volumes,
    "snapshots": snapshots,
    "attachments": attachments,
    "os-volume-transfer": transfers("os-volume-transfer"),
    "volume-transfers": transfers("volume-transfers"),
    "types": types,
    "default-types": default_types,
    "os-quota-sets": quotas,
    "os-quota-class-sets": quota_classes,
    "messages": messages,
}
"""By the first part of the path."""
