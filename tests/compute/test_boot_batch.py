"""Several servers in one request, and servers that boot from volumes."""

import time
import uuid
from typing import Any

import pytest

from tests.compute.conftest import Api, Cloud
from tests.compute.test_boot import Lab, lab  # noqa: F401


def test_names_and_reservation(cloud: Cloud, lab: Lab, fresh: Api) -> None:  # noqa: F811
    body = lab.server(name="web", min_count=3, return_reservation_id=True)
    answer = fresh.post("/servers", body, 202)
    assert set(answer) == {"reservation_id"}
    mine = [each for each in cloud.ledger.booted if each.reservation_id == answer["reservation_id"]]
    assert sorted(each.name for each in mine) == ["web-1", "web-2", "web-3"]
    assert sorted(each.hostname for each in mine) == ["web-1", "web-2", "web-3"]
    assert sorted(each.launch_index for each in mine) == [0, 1, 2]
    assert len({each.instance_id for each in mine}) == 3
    listed = fresh.get("/servers", reservation_id=answer["reservation_id"])["servers"]
    assert len(listed) == 3


def test_as_many_as_the_quota_leaves(cloud: Cloud, lab: Lab, admin: Api, fresh: Api) -> None:  # noqa: F811
    admin.put(f"/os-quota-sets/{fresh.project_id}", {"quota_set": {"instances": 3}})
    fresh.post("/servers", lab.server(min_count=2, max_count=9), 202)
    assert len(fresh.get("/servers")["servers"]) == 3
    message = fresh.refused("POST", "/servers", 403, json=lab.server())
    assert message == "Quota exceeded for instances: Requested 1, but already used 3 of 3 instances"
    message = fresh.refused("POST", "/servers", 403, json=lab.server(min_count=2))
    assert message == "Quota exceeded for instances: Requested 2, but already used 3 of 3 instances"


def test_one_refusal_undoes_the_others(cloud: Cloud, lab: Lab, fresh: Api) -> None:  # noqa: F811
    name = f"u-{uuid.uuid4().hex[:6]}"
    cloud.ledger.refuse.add(f"{name}-2")
    assert fresh.refused("POST", "/servers", 409, json=lab.server(name=name, min_count=3)) == "refused"
    assert fresh.get("/servers")["servers"] == []
    booted = {each.instance_id for each in cloud.ledger.booted if each.name.startswith(name)}
    assert len(booted) == 2 and booted <= set(cloud.ledger.deleted)


def volume(lab: Lab, user: Api, **about: Any) -> str:  # noqa: F811
    made = lab.ask(user, "volume", "POST", "/v3/volumes", {"volume": {"size": 1, **about}})["volume"]["id"]
    end = time.monotonic() + 20
    while (found := lab.ask(user, "volume", "GET", f"/v3/volumes/{made}")["volume"])["status"] != "available":
        assert time.monotonic() < end and found["status"] != "error", found
        time.sleep(0.05)
    return str(made)


def mapping(**about: Any) -> dict[str, Any]:
    return {"boot_index": 0, "destination_type": "volume", **about}


def test_boot_from_an_existing_volume(lab: Lab, demo: Api) -> None:  # noqa: F811
    root = volume(lab, demo, imageRef=lab.image)
    disks = [mapping(source_type="volume", uuid=root), mapping(source_type="blank", volume_size="2", boot_index=-1)]
    got = lab.boot(demo, imageRef="", block_device_mapping_v2=disks)
    own = uuid.UUID(got.instance_id)
    first, second = got.volumes
    assert got.image_id == ""
    assert (first.volume_id, first.create, first.boot_index) == (root, False, 0)
    assert first.attachment_id == str(uuid.uuid5(own, "attachment/0"))
    assert (second.volume_id, second.create, second.size_gb) == (str(uuid.uuid5(own, "volume/1")), True, 2)


def test_boot_from_a_new_volume(lab: Lab, demo: Api) -> None:  # noqa: F811
    disk = mapping(source_type="image", uuid=lab.image, volume_size=1, delete_on_termination=True, tag="root")
    (got,) = lab.boot(demo, imageRef="", block_device_mapping_v2=[disk]).volumes
    assert (got.create, got.image_id, got.size_gb, got.delete_on_termination, got.tag) == (
        True, lab.image, 1, True, "root",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("disks", "words"),
    [
        ([mapping(source_type="volume", uuid="b5d5dbb1-7bf5-4f9e-8b9a-5a5ad0b5bb6b")], "could not be found."),
        ([mapping(source_type="snapshot", uuid="b5d5dbb1-7bf5-4f9e-8b9a-5a5ad0b5bb6b")], "failed to get snapshot"),
        ([mapping(source_type="image", uuid="b5d5dbb1-7bf5-4f9e-8b9a-5a5ad0b5bb6b", volume_size=1)], "get image"),
        ([mapping(source_type="image", uuid="b5d5dbb1-7bf5-4f9e-8b9a-5a5ad0b5bb6b")], "non-zero size"),
        ([mapping(source_type="blank")], "non-zero size"),
        ([mapping(source_type="blank", volume_size=1, boot_index=1)], "Boot sequence"),
        ([mapping(source_type="blank", volume_size=1, boot_index=None)], "Boot sequence"),
        ([mapping(source_type="blank", uuid="x", volume_size=1)], "Invalid device UUID."),
        ([mapping(source_type="volume")], "Missing device UUID."),
        ([mapping(source_type="volume", uuid="x")], "is not a UUID"),
        ([mapping(source_type="tape", uuid="x")], "block_device_mapping_v2"),
        ([mapping()], "source_type"),
    ],
)
def test_disks_that_cannot_boot(lab: Lab, demo: Api, disks: list[dict[str, Any]], words: str) -> None:  # noqa: F811
    assert words in lab.refused(demo, 400, imageRef="", block_device_mapping_v2=disks)


def test_an_image_beside_a_blank_volume_at_boot_index_0(lab: Lab, demo: Api) -> None:  # noqa: F811
    """The image says what the server is like, the mapping what it boots from, as upstream's own tests expect."""
    got = lab.boot(demo, block_device_mapping_v2=[mapping(source_type="blank", volume_size=1)])
    assert [(disk.create, disk.size_gb, disk.boot_index) for disk in got.volumes] == [(True, 1, 0)]
    assert got.image_id == ""


def test_more_disk_refusals(lab: Lab, demo: Api, other: Api) -> None:  # noqa: F811
    local = {"source_type": "image", "destination_type": "local", "uuid": lab.image, "boot_index": 0}
    words = "Mapping image to local is not supported."
    assert words in lab.refused(demo, 400, imageRef="", block_device_mapping_v2=[local])
    two_roots = [local, mapping(source_type="blank", volume_size=1)]
    assert "Boot sequence" in lab.refused(demo, 400, block_device_mapping_v2=two_roots)
    plain = volume(lab, demo)
    disk = [mapping(source_type="volume", uuid=plain)]
    assert lab.refused(demo, 400, imageRef="", block_device_mapping_v2=disk) == f"Block Device {plain} is not bootable."
    assert lab.boot(demo, block_device_mapping_v2=disk).volumes[0].volume_id == plain, "imageRef says what it is like"
    assert "could not be found" in lab.refused(other, 400, imageRef="", block_device_mapping_v2=disk)
    small = mapping(source_type="image", uuid=lab.big_image, volume_size=1)
    assert "memory is too small" in lab.refused(demo, 400, imageRef="", block_device_mapping_v2=[small])
    assert "Boot sequence" in lab.refused(demo, 400, block_device_mapping_v2=[local, local])
    data = mapping(source_type="volume", uuid=plain, boot_index=None)
    words = f"Invalid volume: volume {plain} already attached"
    assert lab.refused(demo, 400, block_device_mapping_v2=[data, data]) == words, "one disk is not two"
    assert lab.boot(demo, block_device_mapping_v2=[data]).volumes[0].volume_id == plain


def test_ports_and_groups_of_a_server(cloud: Cloud, lab: Lab, demo: Api) -> None:  # noqa: F811
    server = cloud.server(demo)
    about = {"network_id": lab.network, "device_id": server, "device_owner": "compute:nova"}
    port = lab.ask(demo, "network", "POST", "/v2.0/ports", {"port": about})["port"]
    (shown,) = demo.get(f"/servers/{server}/os-interface")["interfaceAttachments"]
    assert (shown["port_id"], shown["net_id"], shown["mac_addr"]) == (port["id"], lab.network, port["mac_address"])
    assert shown["fixed_ips"] == port["fixed_ips"] and shown["tag"] is None
    assert "tag" not in demo.get(f"/servers/{server}/os-interface/{port['id']}", version="2.69")["interfaceAttachment"]
    demo.refused("GET", f"/servers/{server}/os-interface/{uuid.uuid4()}", 404)
    (group,) = demo.get(f"/servers/{server}/os-security-groups")["security_groups"]
    assert group["name"] == "default" and group["rules"]
    empty = cloud.server(demo)
    assert demo.get(f"/servers/{empty}/os-security-groups") == {"security_groups": []}


def test_a_volume_for_several_servers_may_be_used_already(cloud: Cloud, lab: Lab, demo: Api, admin: Api) -> None:  # noqa: F811
    """As for an attach: tests/compute/test_attachment_changes.py."""
    kind = {"name": f"multi-{uuid.uuid4()}", "extra_specs": {"multiattach": "<is> True"}}
    lab.ask(admin, "volume", "POST", "/v3/types", {"volume_type": kind})
    shared, single = cloud.volume(demo, volume_type=kind["name"]), cloud.volume(demo)
    for volume in (shared, single):
        used = {"os-reset_status": {"status": "in-use"}}
        lab.ask(admin, "volume", "POST", f"/v3/volumes/{volume}/action", used)

    def mapped(volume: str) -> dict[str, Any]:
        return {"block_device_mapping_v2": [_data(volume)]}

    words = lab.refused(demo, 400, "2.59", **mapped(shared))
    assert words == "Multiattach volumes are only supported starting with compute API version 2.60."
    assert "status must be 'available'" in lab.refused(demo, 400, "2.60", **mapped(single))
    assert [volume.volume_id for volume in lab.boot(demo, "2.60", **mapped(shared)).volumes] == [shared]


def _data(volume: str) -> dict[str, Any]:
    return {"uuid": volume, "source_type": "volume", "destination_type": "volume"}


def test_the_port_quota_is_asked_before_anything_is_accepted(lab: Lab, admin: Api, fresh: Api) -> None:  # noqa: F811
    """Nova says 403 at POST; a build that fails later tells nobody. A repeat of what was accepted is no new wish."""
    network = lab.make_network(fresh)
    limit = {"quota": {"port": 3}}
    lab.ask(admin, "network", "PUT", f"/v2.0/quotas/{fresh.project_id}", limit)
    two = lab.server(networks=[{"uuid": network}] * 2)
    assert fresh.post("/servers", two, 202, **{"Idempotency-Key": "ports"})
    body = lab.server(networks=[{"uuid": network}], min_count=1, max_count=9, return_reservation_id=True)
    made = fresh.post("/servers", body, 202)["reservation_id"]
    assert len(fresh.get("/servers", reservation_id=made)["servers"]) == 3
    for _ in range(2):
        lab.ask(fresh, "network", "POST", "/v2.0/ports", {"port": {"network_id": network}})
    words = "Maximum number of ports exceeded"
    assert fresh.refused("POST", "/servers", 403, json=two) == words
    assert fresh.refused("POST", "/servers", 403, json=lab.server(networks=[{"uuid": network}], min_count=2)) == words
    assert fresh.post("/servers", two, 202, **{"Idempotency-Key": "ports"})
    lab.boot(fresh, networks=[{"uuid": network}])
    lab.boot(fresh)
