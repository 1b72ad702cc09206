"""`volume_type` of a block device (2.67): which volume of a build is of which type, and what is refused."""

import uuid
from typing import Any

import pytest

from tests.compute.conftest import Api
from tests.compute.test_boot import Lab, lab
from tests.compute.test_boot_batch import mapping
from tests.compute.test_volume_images import pointing, snapshot_of, volume

__all__ = ["lab"]
INVALID = "Block Device Mapping is Invalid: "
LOCAL = INVALID + "Specifying a volume_type with destination_type=local is not supported."
BLANK = {"source_type": "blank", "volume_size": 1, "boot_index": -1, "destination_type": "volume"}


def make(lab: Lab, admin: Api, **about: Any) -> tuple[str, str]:
    """(id, name) of a new type."""
    kind = {"name": f"kind-{uuid.uuid4()}", **about}
    made = lab.ask(admin, "volume", "POST", "/v3/types", {"volume_type": kind})["volume_type"]
    return str(made["id"]), str(made["name"])


def test_by_id_and_by_name(lab: Lab, demo: Api, admin: Api) -> None:
    id, name = make(lab, admin)
    snapshot = snapshot_of(lab, demo, volume(lab, demo))
    disks = [
        mapping(source_type="image", uuid=lab.image, volume_size=1, volume_type=name),
        {**BLANK, "volume_type": id},
        {"source_type": "snapshot", "uuid": snapshot, "destination_type": "volume", "volume_type": name},
        {**BLANK, "volume_type": None},
        {**BLANK, "volume_type": ""},
        BLANK,
    ]
    for version in ("2.67", "2.104"):
        made = lab.boot(demo, version, imageRef="", block_device_mapping_v2=disks)
        assert [each.volume_type for each in made.volumes] == [id, id, id, "", "", ""]


def test_a_type_that_the_caller_does_not_see(lab: Lab, demo: Api, admin: Api) -> None:
    """Nova looks for it with the caller's own token."""
    id, name = make(lab, admin, **{"os-volume-type-access:is_public": False})
    for wanted in (id, name, "nowhere", str(uuid.uuid4())):
        words = lab.refused(demo, 400, block_device_mapping_v2=[{**BLANK, "volume_type": wanted}])
        assert words == f"Volume type {wanted} could not be found."
    access = {"addProjectAccess": {"project": demo.project_id}}
    lab.ask(admin, "volume", "POST", f"/v3/types/{id}/action", access)
    made = lab.boot(demo, block_device_mapping_v2=[{**BLANK, "volume_type": name}])
    assert [each.volume_type for each in made.volumes] == [id]


def test_one_behind_the_first_page(lab: Lab, demo: Api, admin: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mechanism: `_visible`."""
    monkeypatch.setattr("api.compute.boot.volume_types.AT_ONCE", 1)
    kinds = [make(lab, admin) for _ in range(3)]
    disks = [{**BLANK, "volume_type": name} for _, name in kinds]
    made = lab.boot(demo, block_device_mapping_v2=disks)
    assert [each.volume_type for each in made.volumes] == [id for id, _ in kinds]


@pytest.mark.parametrize(
    ("disk", "words"),
    [
        ({"source_type": "blank", "destination_type": "local", "volume_size": 1}, LOCAL),
        ({"source_type": "image", "destination_type": "local", "boot_index": 0}, LOCAL),
        ({"source_type": "image", "destination_type": "local", "boot_index": 1}, INVALID + "Mapping image to local"),
        ({"source_type": "volume", "destination_type": "local"}, LOCAL),
        (
            {"source_type": "volume", "destination_type": "volume"},
            INVALID + "Specifying volume type to existing volume",
        ),
        ({"source_type": "volume"}, INVALID + "Specifying volume type to existing volume is not supported."),
    ],
)
def test_of_what_is_not_made(lab: Lab, demo: Api, disk: dict[str, Any], words: str) -> None:
    """Source: `BlockDeviceDict.from_api`; an unknown type is looked for only after that."""
    of = {"image": {"uuid": lab.image}, "volume": {"uuid": str(uuid.uuid4())}}.get(disk["source_type"], {})
    assert words in lab.refused(demo, 400, block_device_mapping_v2=[{**disk, **of, "volume_type": "nowhere"}])


def test_below_its_microversion_it_is_no_property(lab: Lab, demo: Api, admin: Api) -> None:
    id, _ = make(lab, admin)
    words = lab.refused(demo, 400, "2.66", block_device_mapping_v2=[{**BLANK, "volume_type": id}])
    assert "'volume_type' was unexpected" in words


def test_of_an_images_own_devices(lab: Lab, demo: Api, admin: Api) -> None:
    id, name = make(lab, admin)
    device = {"source_type": "snapshot", "snapshot_id": snapshot_of(lab, demo, volume(lab, demo)), "boot_index": 0}
    about = {"destination_type": "volume", "volume_size": 1, "device_name": "/dev/vda"}
    (root,) = lab.boot(demo, imageRef=pointing(lab, demo, [{**device, **about, "volume_type": name}])).volumes
    assert root.volume_type == id
    (root,) = lab.boot(demo, imageRef=pointing(lab, demo, [{**device, **about, "volume_type": None}])).volumes
    assert root.volume_type == ""
