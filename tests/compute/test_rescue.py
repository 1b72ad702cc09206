"""rescue: what reaches the workflow, what is refused."""

import uuid
from typing import Any

from infra.tables.compute import Instance
from tests.compute.conftest import Api, Cloud
from tests.compute.test_boot import Lab, lab

__all__ = ["lab"]


def server(cloud: Cloud, demo: Api, **values: Any) -> str:
    return cloud.server(demo, **{"host": "node1", "image_ref": str(uuid.uuid4()), **values})


def rescue(demo: Api, server_id: str, wish: Any = None, version: str = "2.96") -> str:
    answer = demo.post(f"/servers/{server_id}/action", {"rescue": wish}, 200, version)
    assert set(answer) == {"adminPass"}
    return str(answer["adminPass"])


def asked(cloud: Cloud, server_id: str) -> dict[str, Any]:
    """Body of the rescue that reached the workflows."""
    assert cloud.ledger.started[-1] == (server_id, "rescue")
    return dict(cloud.ledger.bodies[-1])


def test_image_and_password_reach_the_workflow(cloud: Cloud, lab: Lab, demo: Api, admin: Api) -> None:
    id = server(cloud, demo)
    password = rescue(demo, id)
    wanted = asked(cloud, id)
    assert len(password) == 12 and wanted["admin_pass"] == password
    with cloud.database.read() as session:
        assert wanted["image_id"] == session.get_one(Instance, id).image_ref
    assert rescue(demo, id, {"adminPass": "", "rescue_image_ref": lab.image}, "2.1") == ""
    assert (asked(cloud, id)["image_id"], asked(cloud, id)["device"]) == (lab.image, "")
    for about, device, bus in (
        ({"hw_rescue_device": "cdrom"}, "cdrom", "ide"),
        ({"hw_rescue_bus": "scsi"}, "disk", "scsi"),
        ({"hw_rescue_device": "disk"}, "disk", "virtio"),
    ):
        rescue(demo, id, {"rescue_image_ref": lab.make_image(admin, **about)})
        assert (asked(cloud, id)["device"], asked(cloud, id)["bus"]) == (device, bus)
    q35 = server(cloud, demo, image_properties={"hw_machine_type": "q35"})
    rescue(demo, q35, {"rescue_image_ref": lab.make_image(admin, hw_rescue_device="cdrom")})
    assert asked(cloud, q35)["bus"] == "sata", "a q35 has no IDE"


def test_what_cannot_be_rescued(cloud: Cloud, lab: Lab, demo: Api, admin: Api) -> None:
    id, bfv = server(cloud, demo), server(cloud, demo, image_ref="")
    stable = lab.make_image(admin, hw_rescue_device="disk", hw_rescue_bus="virtio")

    def refused(server_id: str, wish: Any, status: int = 400, version: str = "2.96") -> str:
        return demo.refused("POST", f"/servers/{server_id}/action", status, version, json={"rescue": wish})

    tape = lab.make_image(admin, hw_rescue_device="floppy")
    bus = lab.make_image(admin, hw_rescue_device="cdrom", hw_rescue_bus="virtio")
    snapshot = lab.make_image(admin, block_device_mapping="[{}]")
    usb = lab.make_image(admin, hw_rescue_device="disk", hw_rescue_bus="usb")
    for image in (str(uuid.uuid4()), tape, bus, usb, snapshot):
        assert refused(id, {"rescue_image_ref": image}) == f"Requested rescue image '{image}' is not supported"
    q35 = server(cloud, demo, image_properties={"hw_machine_type": "q35"})
    ide = lab.make_image(admin, hw_rescue_device="cdrom", hw_rescue_bus="ide")
    assert refused(q35, {"rescue_image_ref": ide}) == f"Requested rescue image '{ide}' is not supported"
    words = f"Instance {bfv} cannot be rescued: "
    assert refused(bfv, None, version="2.86") == words + "Cannot rescue a volume-backed instance"
    unable = words + "Host unable to rescue a volume-backed instance"
    assert refused(bfv, None) == refused(bfv, {"rescue_image_ref": lab.image}) == unable
    rescue(demo, bfv, {"rescue_image_ref": stable}, "2.87")
    assert asked(cloud, bfv)["device"] == "disk"
    assert "other" in refused(id, {"other": 1})
    assert "rescue_image_ref" in refused(id, {"rescue_image_ref": "vm"})
    refused(id, {"adminPass": 5})
    paused = server(cloud, demo, vm_state="paused")
    assert refused(paused, None, 409) == f"Cannot 'rescue' instance {paused} while it is in vm_state paused"
    words = demo.refused("POST", f"/servers/{id}/action", 409, json={"unrescue": None})
    assert words == f"Cannot 'unrescue' instance {id} while it is in vm_state active"
    rescued = server(cloud, demo, vm_state="rescued")
    assert demo.get(f"/servers/{rescued}")["server"]["status"] == "RESCUE"
    demo.post(f"/servers/{rescued}/action", {"unrescue": None}, 202)
