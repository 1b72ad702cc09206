"""Volume types: who sees them, what they promise, who gets which by default, and two servers on one volume."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.volume.cloud import Cloud, io, nbd_url


@pytest.fixture
def shared(cloud: Cloud) -> Iterator[dict[str, Any]]:
    """A type whose volumes several servers may have."""
    wanted = {"name": f"shared-{uuid.uuid4().hex[:6]}", "extra_specs": {"multiattach": "<is> True"}}
    kind = cloud.ok("POST", "/types", {"volume_type": wanted}, user="admin")["volume_type"]
    yield kind
    assert cloud.call("DELETE", f"/types/{kind['id']}", user="admin").status_code == 202


def test_life_of_a_type(cloud: Cloud) -> None:
    made = cloud.ok("POST", "/types", {"volume_type": {"name": "gold", "description": "d"}}, user="admin")
    kind = made["volume_type"]["id"]
    assert "qos_specs_id" not in made["volume_type"]
    assert cloud.ok("GET", f"/types/{kind}", user="admin")["volume_type"]["qos_specs_id"] is None
    assert cloud.call("POST", "/types", {"volume_type": {"name": "gold"}}, user="admin").status_code == 409
    assert cloud.call("POST", "/types", {"volume_type": {"name": "own"}}).status_code == 403
    volume = cloud.volume(volume_type="gold")
    assert cloud.ok("GET", f"/volumes/{volume}")["volume"]["volume_type_id"] == kind
    quota = cloud.ok("GET", f"/os-quota-sets/{cloud.project_ids['demo']}?usage=True", user="admin")["quota_set"]
    assert quota["volumes_gold"]["in_use"] == 1 and quota["gigabytes_gold"]["in_use"] == 1
    renamed = cloud.ok("PUT", f"/types/{kind}", {"volume_type": {"name": "golden"}}, user="admin")["volume_type"]
    assert not {"os-volume-type-access:is_public", "qos_specs_id"} & renamed.keys()
    assert cloud.ok("GET", f"/volumes/{volume}")["volume"]["volume_type"] == "golden"
    specs = {"extra_specs": {"multiattach": "<is> True"}}
    in_use = cloud.call("POST", f"/types/{kind}/extra_specs", specs, user="admin")
    assert in_use.status_code == 400 and "currently in use" in in_use.json()["badRequest"]["message"]
    assert cloud.call("DELETE", f"/types/{kind}", user="admin").status_code == 400
    cloud.delete(volume)
    assert cloud.call("DELETE", f"/types/{kind}", user="admin").status_code == 202
    assert cloud.call("GET", f"/types/{kind}").status_code == 404


def test_extra_specs_are_obeyed_or_refused(cloud: Cloud) -> None:
    kind = cloud.ok("POST", "/types", {"volume_type": {"name": "specs"}}, user="admin")["volume_type"]["id"]
    place = f"/types/{kind}/extra_specs"
    refused = cloud.call("POST", place, {"extra_specs": {"qos:iops": "9"}}, user="admin")
    assert refused.status_code == 400 and "qos:iops" in refused.json()["badRequest"]["message"]
    given = {"multiattach": "<is> True", "volume_backend_name": "nbd"}
    assert cloud.ok("POST", place, {"extra_specs": given}, user="admin") == {"extra_specs": given}
    assert cloud.ok("GET", place) == {"extra_specs": {"multiattach": "<is> True"}}, "tenants see what concerns them"
    assert cloud.ok("GET", f"{place}/multiattach") == {"multiattach": "<is> True"}
    assert cloud.ok("PUT", f"{place}/multiattach", {"multiattach": "<is> False"}, user="admin")
    assert cloud.call("DELETE", f"{place}/multiattach", user="admin").status_code == 202
    assert cloud.call("GET", f"{place}/multiattach", user="admin").status_code == 404
    cloud.call("DELETE", f"/types/{kind}", user="admin")


def _names(cloud: Cloud, query: str) -> set[str]:
    """The types that an administrator is told."""
    return {row["name"] for row in cloud.ok("GET", f"/types{query}", user="admin")["volume_types"]}


def test_private_types_are_for_those_who_were_let_in(cloud: Cloud) -> None:
    wanted = {"name": "secret", "os-volume-type-access:is_public": False}
    kind = cloud.ok("POST", "/types", {"volume_type": wanted}, user="admin")["volume_type"]["id"]
    assert cloud.call("GET", f"/types/{kind}").status_code == 404
    assert cloud.call("POST", "/volumes", {"volume": {"size": 1, "volume_type": "secret"}}).status_code == 404
    assert "secret" not in _names(cloud, "") and "secret" not in _names(cloud, "?is_public=True")
    assert _names(cloud, "?is_public=False") == {"secret"} and "secret" in _names(cloud, "?is_public=None")
    own = {"project": cloud.project_ids["admin"]}
    assert cloud.call("POST", f"/types/{kind}/action", {"addProjectAccess": own}, user="admin").status_code == 202
    assert "secret" in _names(cloud, ""), "his own project was let in"
    assert cloud.call("POST", f"/types/{kind}/action", {"removeProjectAccess": own}, user="admin").status_code == 202
    assert cloud.call("GET", "/types?is_public=maybe", user="admin").status_code == 400
    access, place = {"addProjectAccess": {"project": cloud.project_ids["demo"]}}, f"/types/{kind}"
    assert cloud.call("POST", f"{place}/action", access).status_code == 403
    assert cloud.call("POST", f"{place}/action", access, user="admin").status_code == 202
    assert cloud.call("POST", f"{place}/action", access, user="admin").status_code == 409
    assert cloud.ok("GET", place)["volume_type"]["is_public"] is False
    (entry,) = cloud.ok("GET", f"{place}/os-volume-type-access", user="admin")["volume_type_access"]
    assert entry["project_id"] == cloud.project_ids["demo"]
    gone = {"removeProjectAccess": access["addProjectAccess"]}
    assert cloud.call("POST", f"{place}/action", gone, user="admin").status_code == 202
    assert cloud.call("DELETE", place, user="admin").status_code == 202


def test_default_type_of_a_project(cloud: Cloud, shared: dict[str, Any]) -> None:
    place = f"/default-types/{cloud.project_ids['demo']}"
    assert cloud.call("GET", place, user="admin").status_code == 404
    assert cloud.call("PUT", place, {"default_type": {"volume_type": shared["name"]}}).status_code == 403
    chosen = cloud.ok("PUT", place, {"default_type": {"volume_type": shared["name"]}}, user="admin")
    assert chosen["default_type"]["volume_type_id"] == shared["id"]
    assert cloud.ok("GET", "/types/default")["volume_type"]["id"] == shared["id"]
    volume = cloud.volume()
    assert cloud.ok("GET", f"/volumes/{volume}")["volume"]["multiattach"] is True
    cloud.delete(volume)
    assert cloud.call("DELETE", f"/types/{shared['id']}", user="admin").status_code == 400, "it is a default"
    assert cloud.call("DELETE", place, user="admin").status_code == 204


def test_two_servers_write_to_one_volume(cloud: Cloud, shared: dict[str, Any]) -> None:
    volume = cloud.volume(volume_type=shared["id"])
    first = cloud.attach(volume, "host1", instance_uuid=str(uuid.uuid4()))
    second = cloud.attach(volume, "host2", instance_uuid=str(uuid.uuid4()))
    one, two = (nbd_url(a["connection_info"]) for a in (first, second))
    assert one != two
    assert io(one, "write -P 1 0 64k", "flush") and io(two, "read -P 1 0 64k", "write -P 2 64k 64k", "flush")
    assert io(one, "read -P 2 64k 64k")
    assert len(cloud.ok("GET", f"/volumes/{volume}")["volume"]["attachments"]) == 2
    rest = cloud.ok("DELETE", f"/attachments/{first['id']}", user="nova")["attachments"]
    assert [a["id"] for a in rest] == [second["id"]] and cloud.status(volume) == "in-use"
    assert not io(one, "read 0 4k") and io(two, "read -P 1 0 64k")
    cloud.ok("DELETE", f"/attachments/{second['id']}", user="nova")
    assert cloud.status(volume) == "available"
    cloud.delete(volume)


def test_retype(cloud: Cloud, shared: dict[str, Any]) -> None:
    volume = cloud.volume()
    path, wanted = f"/volumes/{volume}/action", {"os-retype": {"new_type": shared["name"], "migration_policy": "never"}}
    assert cloud.call("POST", path, wanted).status_code == 202
    shown = cloud.ok("GET", f"/volumes/{volume}")["volume"]
    assert (shown["volume_type"], shown["multiattach"], shown["status"]) == (shared["name"], True, "available")
    again = cloud.call("POST", path, wanted)
    assert again.status_code == 400 and "Retype needs volume" in again.json()["badRequest"]["message"]
    attachment = cloud.attach(volume, instance_uuid=str(uuid.uuid4()))
    refused = cloud.call("POST", path, {"os-retype": {"new_type": "nbd"}})
    assert refused.status_code == 400 and "multiattach" in refused.json()["badRequest"]["message"]
    cloud.ok("DELETE", f"/attachments/{attachment['id']}", user="nova")
    assert cloud.call("POST", path, {"os-retype": {"new_type": "none-such"}}).status_code == 404
    assert cloud.call("POST", path, {"os-migrate_volume": {"host": "x"}}, user="admin").status_code == 501
    cloud.delete(volume)
