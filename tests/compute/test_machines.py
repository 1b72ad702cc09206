"""What image and flavor ask of the machine is obeyed or refused, whenever a server gets another image or flavor.

Which properties, and what the guest then has: tests/host/test_machines.py."""

import uuid
from typing import Any

import pytest

from infra.tables.compute import Flavor
from tests.compute.conftest import Api, Cloud
from tests.compute.test_boot import Lab, lab
from tests.compute.test_boot_batch import mapping

__all__ = ["lab"]
NOWHERE = "No valid host was found. No host supports the image property os_secure_boot=required."


def flavor(cloud: Cloud, **specs: str) -> str:
    id = uuid.uuid4().hex
    with cloud.database.write() as session:
        session.add(Flavor(id=id, name=id, ram=128, vcpus=2, disk=1, extra_specs=specs))
    return id


def test_a_server_whose_image_no_host_can_run(cloud: Cloud, lab: Lab, admin: Api, demo: Api) -> None:
    image = lab.make_image(admin, os_secure_boot="required")
    assert lab.refused(demo, 400, imageRef=image) == NOWHERE
    server = cloud.server(demo, host="h", image_ref=lab.image)
    wish: dict[str, Any] = {"rebuild": {"imageRef": image}}
    assert demo.refused("POST", f"/servers/{server}/action", 400, json=wish) == NOWHERE
    wrong = lab.make_image(admin, hw_disk_bus="floppy disk")
    words = "Invalid image metadata. Error: Field value floppy disk is invalid"
    assert lab.refused(demo, 400, imageRef=wrong) == words
    volume = mapping(source_type="image", uuid=image, volume_size=1)
    assert lab.refused(demo, 400, imageRef="", block_device_mapping_v2=[volume]) == NOWHERE


def test_a_trait_that_an_image_requires(lab: Lab, admin: Api, demo: Api) -> None:
    """Mechanism: only names of Nova's list and with its prefixes were taken from an image, and a trait has neither."""
    image = lab.make_image(admin, **{"trait:HW_CPU_X86_AVX2": "required"})
    words = "No valid host was found. No host supports the image property trait:HW_CPU_X86_AVX2=required."
    assert lab.refused(demo, 400, imageRef=image) == words
    volume = mapping(source_type="image", uuid=image, volume_size=1)
    assert lab.refused(demo, 400, imageRef="", block_device_mapping_v2=[volume]) == words
    lab.boot(demo, imageRef=lab.make_image(admin, **{"trait:CUSTOM_GOLD": "anything"}))


def test_volumes_are_on_the_bus_of_the_image_where_they_can_be(lab: Lab, admin: Api, demo: Api) -> None:
    image = lab.make_image(admin, hw_disk_bus="scsi", hw_scsi_model="virtio-scsi")
    more = mapping(source_type="blank", volume_size=1, boot_index=-1)
    other = mapping(source_type="blank", volume_size=1, boot_index=-1, disk_bus="virtio", device_name="/dev/vdd")
    made = lab.boot(demo, imageRef=image, block_device_mapping_v2=[more, other])
    assert made.image_properties == {"hw_disk_bus": "scsi", "hw_scsi_model": "virtio-scsi"}
    assert [(volume.bus, volume.device) for volume in made.volumes] == [("scsi", None), ("virtio", "/dev/vdd")]
    root = mapping(source_type="image", uuid=image, volume_size=1)
    made = lab.boot(demo, imageRef="", block_device_mapping_v2=[root, more | {"disk_bus": "scsi"}])
    assert [volume.bus for volume in made.volumes] == ["scsi", "scsi"]
    on_sata = mapping(source_type="image", uuid=lab.make_image(admin, hw_disk_bus="sata"), volume_size=1)
    assert "hw_disk_bus=sata for volumes" in lab.refused(demo, 400, imageRef="", block_device_mapping_v2=[on_sata])


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        ({"hw:cpu_policy": "dedicated"}, "No host supports the extra spec hw:cpu_policy=dedicated."),
        ({"quota:cpu_reservation": "10"}, "No host supports the extra spec quota:cpu_reservation=10."),
        ({"quota:cpu_quota": "10"}, "extra spec 'quota:cpu_quota': it is not between 1000 and"),
        ({"hw:cpu_sockets": "many"}, "failed to validate extra spec 'hw:cpu_sockets'"),
        ({"hw:cpu_max_sockets": "1", "hw:cpu_max_cores": "1", "hw:cpu_max_threads": "1"}, "impossible to satisfy"),
    ],
)
def test_a_flavor_that_no_host_can_give(cloud: Cloud, lab: Lab, demo: Api, specs: dict[str, str], words: str) -> None:
    wanted = flavor(cloud, **specs)
    assert words in lab.refused(demo, 400, flavorRef=wanted)
    server = cloud.server(demo, host="h", image_ref=lab.image)
    resize = {"resize": {"flavorRef": wanted}}
    assert words in demo.refused("POST", f"/servers/{server}/action", 400, json=resize)
    assert (server, "resize") not in cloud.ledger.started


def test_what_volumes_cannot_be(lab: Lab, demo: Api) -> None:
    for name, value in (("disk_bus", "sata"), ("device_type", "cdrom")):
        disk = mapping(source_type="blank", volume_size=1, boot_index=-1, **{name: value})
        assert value in lab.refused(demo, 400, block_device_mapping_v2=[disk])


def test_what_is_obeyed_goes_to_the_host(cloud: Cloud, lab: Lab, demo: Api) -> None:
    specs = {"hw:cpu_sockets": "1", "quota:disk_read_iops_sec": "500", "mine": "x"}
    lab.boot(demo, flavorRef=flavor(cloud, **specs))
    server = cloud.server(demo, host="h", image_ref=lab.image)
    demo.post(f"/servers/{server}/action", {"resize": {"flavorRef": flavor(cloud, **specs)}}, 202)
    assert cloud.ledger.bodies[-1]["flavor"]["extra_specs"] == specs
