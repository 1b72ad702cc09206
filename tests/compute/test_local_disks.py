"""Ephemeral and swap disks in POST /servers and resize: what reaches the workflow, and what is refused."""

import uuid
from typing import Any

import pytest

from infra.tables.compute import Flavor
from tests.compute.conftest import Api, Cloud
from tests.compute.test_boot import Lab, lab
from tests.compute.test_resize import server

__all__ = ["lab"]
BLANK = {"source_type": "blank", "destination_type": "local"}
SWAP = {**BLANK, "guest_format": "swap"}
VOLUME = {"source_type": "blank", "destination_type": "volume", "volume_size": 1}
INVALID = "Block Device Mapping is Invalid: "
TOO_LARGE = "Ephemeral disks requested are larger than the instance type allows."


@pytest.fixture(scope="module")
def roomy(cloud: Cloud, tiny: Flavor) -> str:
    with cloud.database.write() as session:
        session.add(Flavor(id="roomy", name="roomy", ram=64, vcpus=1, disk=1, ephemeral=4, swap=512))
        session.add(Flavor(id="small", name="small", ram=64, vcpus=1, disk=1, ephemeral=1, swap=0))
    return "roomy"


def shown(disks: list[Any]) -> list[tuple[Any, ...]]:
    return [(disk.label, disk.device, disk.size_mb, disk.guest_format) for disk in disks]


def test_of_the_flavor(lab: Lab, demo: Api, admin: Api, roomy: str) -> None:
    got = lab.boot(demo, flavorRef=roomy)
    assert shown(got.local_disks) == [("ephemeral0", "vdb", 4096, "vfat"), ("swap", "vdc", 512, "swap")]
    linux = lab.boot(demo, flavorRef=roomy, imageRef=lab.make_image(admin, os_type="linux"))
    assert linux.local_disks[0].guest_format == "ext4"
    assert lab.boot(demo).local_disks == []


def test_as_asked(lab: Lab, demo: Api, roomy: str) -> None:
    first = {**BLANK, "volume_size": 1, "guest_format": "ext3", "disk_bus": "scsi", "tag": "scratch", "boot_index": -1}
    got = lab.boot(demo, flavorRef=roomy, block_device_mapping_v2=[first, {**BLANK, "volume_size": 3}])
    assert shown(got.local_disks) == [
        ("ephemeral0", "sdb", 1024, "ext3"),
        ("ephemeral1", "vdc", 3072, "vfat"),
        ("swap", "vdd", 512, "swap"),
    ]
    assert (got.local_disks[0].bus, got.local_disks[0].tag) == ("scsi", "scratch")
    mapping = [{**SWAP, "volume_size": 64}, VOLUME, {**VOLUME, "device_name": "/dev/vdb"}]
    got = lab.boot(demo, flavorRef=roomy, block_device_mapping_v2=mapping)
    assert shown(got.local_disks) == [("ephemeral0", "vdc", 4096, "vfat"), ("swap", "vdd", 64, "swap")]
    assert [disk.device for disk in got.volumes] == ["/dev/vde", "/dev/vdb"]


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ([{**BLANK, "volume_size": 5}], TOO_LARGE),
        ([{**BLANK, "volume_size": 1}, BLANK], TOO_LARGE),
        ([{**SWAP, "volume_size": 513}], "Swap drive requested is larger than instance type allows."),
        ([SWAP, SWAP], INVALID + "More than one swap drive requested."),
        ([{**BLANK, "volume_size": 1}] * 3, INVALID + "You specified more local devices than the limit allows"),
        ([{**BLANK, "uuid": "x"}], INVALID + "Invalid device UUID."),
        ([{**BLANK, "boot_index": 0}], INVALID + "Boot sequence for the instance"),
        ([{**BLANK, "volume_type": "x"}], INVALID + "Specifying a volume_type with destination_type=local"),
        ([{**BLANK, "guest_format": "zfs"}], "No host can make the guest_format zfs."),
        ([{**BLANK, "disk_bus": "pata"}], INVALID + "The provided disk bus pata is not valid."),
        ([{**BLANK, "disk_bus": "usb"}], "No valid host was found. No host supports the disk_bus usb"),
        ([{**BLANK, "device_type": "tape"}], INVALID + "The provided device type tape is not valid."),
        ([{**BLANK, "device_type": "lun"}], "No valid host was found. No host supports the device_type lun"),
        ([{**VOLUME, "guest_format": "ext4"}], "guest_format is only"),
        ([{**VOLUME, "disk_bus": "ide"}], "the disk_bus ide"),
        ([{**VOLUME, "device_name": "vdd"}] * 2, "(/dev/vdd) is in use."),
        ([{**VOLUME, "device_name": "/dev/vda"}], "(/dev/vda) is in use."),
        ([{**BLANK, "disk_bus": "ide"}] * 2, TOO_LARGE),
    ],
)  # fmt: skip
def test_refused(lab: Lab, demo: Api, roomy: str, mapping: list[dict[str, Any]], words: str) -> None:
    assert words in lab.refused(demo, 400, flavorRef=roomy, block_device_mapping_v2=mapping)


def test_no_names_left(lab: Lab, demo: Api, roomy: str) -> None:
    volumes = [VOLUME] * 24
    assert "No free disk device names" in lab.refused(demo, 400, flavorRef=roomy, block_device_mapping_v2=volumes)
    named = [{**VOLUME, "device_name": f"vd{letter}"} for letter in "bc"]
    on_ide = [{**BLANK, "disk_bus": "ide"}, *named]
    words = lab.refused(demo, 400, flavorRef=roomy, block_device_mapping_v2=on_ide)
    assert words == "No free disk device names for prefix 'hd'"


def test_resize(cloud: Cloud, demo: Api, roomy: str) -> None:
    about = {"kind": "ephemeral", "size_mb": 2048, "guest_format": "ext4", "device": "vdc"}
    volumes = [{"volume_id": str(uuid.uuid4()), "attachment_id": "a", "device": "vdb"}]
    id = server(cloud, demo, local_disks=[about], volumes=volumes)
    body = {"resize": {"flavorRef": "small"}}
    words = "Server disk was unable to be resized because: Unable to resize disk down."
    assert demo.refused("POST", f"/servers/{id}/action", 400, json=body) == words
    demo.post(f"/servers/{id}/action", {"resize": {"flavorRef": roomy}}, 202)
    assert cloud.ledger.started[-1] == (id, "resize")
    assert [(d["device"], d["size_mb"], d["guest_format"]) for d in cloud.ledger.bodies[-1]["local_disks"]] == [
        ("vdc", 4096, "ext4"),
        ("vdd", 512, "swap"),
    ]
