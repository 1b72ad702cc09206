"""resize: which flavors are refused, and what reaches the workflow."""

import uuid
from typing import Any

import pytest

from infra.tables.compute import Flavor
from tests.compute.conftest import Api, Cloud


@pytest.fixture(scope="module")
def flavors(cloud: Cloud, tiny: Flavor) -> dict[str, Flavor]:
    made = {
        "big": Flavor(id="big", name="big", ram=128, vcpus=2, disk=2),
        "flat": Flavor(id="flat", name="flat", ram=128, vcpus=2, disk=0),
        "gone": Flavor(id="gone", name="gone", ram=128, vcpus=2, disk=2, disabled=True),
        "theirs": Flavor(id="theirs", name="theirs", ram=128, vcpus=2, disk=2, is_public=False),
    }
    with cloud.database.write() as session:
        for flavor in made.values():
            session.add(flavor)
    return made


def server(cloud: Cloud, demo: Api, **values: Any) -> str:
    big = {"id": "mid", "name": "mid", "vcpus": 1, "ram": 64, "disk": 1}
    about = {"host": "node1", "image_ref": str(uuid.uuid4()), "flavor_id": "mid", "flavor": big, "root_gb": 1}
    return cloud.server(demo, **{**about, **values})


@pytest.mark.usefixtures("flavors")
def test_which_flavors(cloud: Cloud, demo: Api) -> None:
    id = server(cloud, demo)

    def refused(flavor: object, server_id: str = id) -> str:
        body = {"resize": {"flavorRef": flavor}}
        return demo.refused("POST", f"/servers/{server_id}/action", 400, json=body)

    same = server(cloud, demo, flavor_id="big")
    assert refused("big", same) == "When resizing, instances must change flavor!"
    words = "Server disk was unable to be resized because: "
    assert refused("flat") == words + "Resize to zero disk flavor is not allowed."
    large = server(cloud, demo, root_gb=3)
    assert refused("big", large) == words + "Unable to resize disk down."
    for nobody in ("nowhere", "theirs"):
        assert refused(nobody) == f"Flavor {nobody} could not be found."
    refused("")
    refused(None)


@pytest.mark.usefixtures("flavors")
def test_a_server_that_boots_from_a_volume_may_have_any_disk(cloud: Cloud, demo: Api) -> None:
    id = server(cloud, demo, image_ref="")
    demo.post(f"/servers/{id}/action", {"resize": {"flavorRef": "flat"}}, 202)
    assert (id, "resize") in cloud.ledger.started


@pytest.mark.usefixtures("flavors")
def test_the_window_in_force_goes_along(cloud: Cloud, demo: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for window in (0, 600):
        monkeypatch.setattr(cloud.settings, "resize_confirm_window", window)
        demo.post(f"/servers/{server(cloud, demo)}/action", {"resize": {"flavorRef": "big"}}, 202)
        assert cloud.ledger.bodies[-1]["confirm_after_s"] == window


@pytest.mark.usefixtures("flavors")
def test_states(cloud: Cloud, demo: Api) -> None:
    paused = server(cloud, demo, vm_state="paused")
    words = demo.refused("POST", f"/servers/{paused}/action", 409, json={"resize": {"flavorRef": "big"}})
    assert words == f"Cannot 'resize' instance {paused} while it is in vm_state paused"
    for name in ("confirmResize", "revertResize"):
        active = server(cloud, demo)
        words = demo.refused("POST", f"/servers/{active}/action", 409, json={name: None})
        assert words == f"Cannot '{name}' instance {active} while it is in vm_state active"
        waiting = server(cloud, demo, vm_state="resized")
        assert demo.get(f"/servers/{waiting}")["server"]["status"] == "VERIFY_RESIZE"
        demo.post(f"/servers/{waiting}/action", {name: None}, 204 if name == "confirmResize" else 202)
