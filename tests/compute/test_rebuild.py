"""rebuild: what reaches the workflow, what its answer shows at each microversion, what is refused."""

import uuid
from typing import Any

import httpx
import pytest

from tests.compute.conftest import HTTP, Api, Cloud
from tests.compute.test_boot import PUBLIC, Lab, lab

__all__ = ["lab"]
SCRIPT = "IyEvYmluL3NoCg=="


def server(cloud: Cloud, demo: Api, **values: Any) -> str:
    return cloud.server(demo, **{"host": "node1", "image_ref": str(uuid.uuid4()), **values})


def rebuild(demo: Api, server_id: str, version: str = "2.96", **wish: Any) -> dict[str, Any]:
    body = demo.post(f"/servers/{server_id}/action", {"rebuild": wish}, 202, version)
    shown: dict[str, Any] = body["server"]
    return shown


@pytest.mark.usefixtures("tiny")
def test_the_answer_is_the_server_as_it_will_be(cloud: Cloud, lab: Lab, demo: Api) -> None:
    demo.post("/os-keypairs", {"keypair": {"name": "mine", "public_key": PUBLIC, "type": "ssh"}}, 201)
    id = server(cloud, demo)
    wish = {"name": "anew", "metadata": {"a": "b"}, "description": "second", "key_name": "mine", "hostname": "anew-1"}
    shown = rebuild(demo, id, imageRef=lab.image, adminPass="s3cret", user_data=SCRIPT, **wish)
    assert (shown["id"], shown["image"]["id"], shown["adminPass"]) == (id, lab.image, "s3cret")
    assert {name: shown[name] for name in ("name", "metadata", "description", "key_name")} == {
        name: wish[name] for name in ("name", "metadata", "description", "key_name")
    }
    assert shown["user_data"] == SCRIPT and shown["server_groups"] == []
    assert len(rebuild(demo, server(cloud, demo), imageRef=lab.image)["adminPass"]) == 12


def test_an_admin_is_told_the_user_data_once(cloud: Cloud, lab: Lab, admin: Api) -> None:
    """As Nova has it: of the attributes that an admin sees since 2.75, this one has a name of its own here."""
    shown = rebuild(admin, server(cloud, admin), "2.75", imageRef=lab.image, user_data=SCRIPT)
    assert shown["user_data"] == SCRIPT and "OS-EXT-SRV-ATTR:user_data" not in shown
    assert "OS-EXT-SRV-ATTR:host" in shown


def test_the_new_images_properties_go_along(cloud: Cloud, lab: Lab, admin: Api, demo: Api) -> None:
    rebuild(demo, server(cloud, demo), imageRef=lab.make_image(admin, hw_qemu_guest_agent="yes", other="x"))
    assert cloud.ledger.bodies[-1]["image_properties"] == {"hw_qemu_guest_agent": "yes"}


def test_attributes_come_with_their_microversions(cloud: Cloud, lab: Lab, demo: Api) -> None:
    id = server(cloud, demo)
    for name, value, before in (
        ("description", "x", "2.18"),
        ("key_name", None, "2.53"),
        ("user_data", SCRIPT, "2.56"),
        ("trusted_image_certificates", ["x"], "2.62"),
        ("hostname", "x", "2.89"),
    ):
        body = {"rebuild": {"imageRef": lab.image, name: value}}
        assert name in demo.refused("POST", f"/servers/{id}/action", 400, before, json=body)
    assert "key_name" not in rebuild(demo, id, "2.53", imageRef=lab.image)
    assert "user_data" not in rebuild(demo, id, "2.56", imageRef=lab.image)


def test_what_cannot_be_rebuilt(cloud: Cloud, lab: Lab, demo: Api) -> None:
    id = server(cloud, demo)

    def refused(status: int, server_id: str = id, version: str = "2.96", **wish: Any) -> str:
        body = {"rebuild": {"imageRef": lab.image, **wish}}
        return demo.refused("POST", f"/servers/{server_id}/action", status, version, json=body)

    assert refused(400, imageRef=str(uuid.uuid4())) == "Cannot find image for rebuild"
    assert refused(400, key_name="nobody's") == "Invalid key_name provided."
    assert "does not support preserving ephemeral" in refused(400, preserve_ephemeral=True)
    assert refused(400, imageRef=lab.big_image) == "Flavor's memory is too small for requested image."
    refused(400, name=None)
    paused = server(cloud, demo, vm_state="paused")
    assert refused(409, paused) == f"Cannot 'rebuild' instance {paused} while it is in vm_state paused"


@pytest.mark.usefixtures("tiny")
def test_the_volume_that_it_boots_from_is_written_since_2_93(cloud: Cloud, lab: Lab, demo: Api, admin: Api) -> None:
    url, headers = cloud.settings.url("volume", "/v3/volumes"), {"X-Auth-Token": admin.token}

    def act(**action: Any) -> None:
        httpx.post(f"{url}/{volume}/action", json=action, headers=headers, **HTTP).raise_for_status()

    volume = cloud.volume(demo)
    root = {"volume_id": volume, "attachment_id": "a", "device": "vda", "boot_index": 0}
    id = server(cloud, demo, image_ref="", root_gb=0, volumes=[root])

    def refused(status: int, image: str = lab.image, version: str = "2.93") -> str:
        return demo.refused("POST", f"/servers/{id}/action", status, version, json={"rebuild": {"imageRef": image}})

    words = "Unable to rebuild with a different image for a volume-backed server."
    assert refused(400, version="2.92") == f"Image {lab.image} is unacceptable: {words}"
    assert refused(400) == (
        f"Invalid volume: volume '{volume}' status must be 'in-use'. Currently in 'available' status"
    )
    act(**{"os-reset_status": {"status": "in-use"}})
    assert rebuild(demo, id, "2.93", imageRef=lab.image)["image"] == ""
    assert cloud.ledger.bodies[-1]["volume_id"] == volume
    assert "Volume is smaller than the minimum size" in refused(400, lab.make_image(admin, min_disk=2))
    act(**{"os-set_image_metadata": {"metadata": {"image_id": lab.image}}})
    rebuild(demo, id, "2.92", imageRef=lab.image)
    assert cloud.ledger.bodies[-1]["volume_id"] == ""
    gone = server(cloud, demo, image_ref="", root_gb=0, volumes=[root | {"volume_id": str(uuid.uuid4())}])
    asked = {"rebuild": {"imageRef": lab.image}}
    assert "could not be found" in demo.refused("POST", f"/servers/{gone}/action", 400, "2.93", json=asked)
