"""Images of servers that boot from a volume: what reaches the workflow, and servers that are booted from them."""

import json
import uuid
from typing import Any

import pytest

from infra.database import Database
from infra.tables.volume import Snapshot
from tests.compute.conftest import Api, Cloud
from tests.compute.test_boot import Lab, lab

__all__ = ["lab"]


def volume(lab: Lab, demo: Api, size: int = 1) -> str:
    body = {"volume": {"size": size}}
    return str(lab.ask(demo, "volume", "POST", "/v3/volumes", body)["volume"]["id"])


def pointing(lab: Lab, demo: Api, devices: Any, **about: str) -> str:
    text = devices if isinstance(devices, str) else json.dumps(devices)
    return lab.make_image(demo, visibility="private", bdm_v2="True", block_device_mapping=text, **about)


def snapshot_of(lab: Lab, demo: Api, of: str) -> str:
    """Its record: no volume's bytes are served here."""
    row = Snapshot(id=str(uuid.uuid4()), volume_id=of, project_id=demo.project_id, user_id=demo.user_id, size=1)
    row.status = "available"
    with Database("volume", state_dir=lab.cloud.settings.state_dir).write() as session:
        session.add(row)
        return row.id


def test_the_volumes_sizes_go_along(cloud: Cloud, lab: Lab, demo: Api) -> None:
    ids = [volume(lab, demo, size) for size in (1, 2)]
    volumes = [{"volume_id": id, "attachment_id": str(uuid.uuid4()), "boot_index": n} for n, id in enumerate(ids)]
    server = cloud.server(demo, image_ref="", host="node1", volumes=volumes)
    demo.post(f"/servers/{server}/action", {"createImage": {"name": "copy"}}, 202)
    assert cloud.ledger.bodies[-1] == {"name": "copy", "sizes": dict(zip(ids, (1, 2), strict=True))}
    gone = str(uuid.uuid4())
    broken = cloud.server(demo, image_ref="", host="node1", volumes=[{"volume_id": gone, "attachment_id": "x"}])
    words = demo.refused("POST", f"/servers/{broken}/action", 400, json={"createImage": {"name": "copy"}})
    assert words == f"Volume {gone} could not be found."


def test_a_server_from_such_an_image(lab: Lab, demo: Api) -> None:
    taken = [snapshot_of(lab, demo, volume(lab, demo)) for _ in range(2)]
    common = {"source_type": "snapshot", "destination_type": "volume", "volume_size": 1, "no_device": None}
    devices = [
        {**common, "snapshot_id": taken[0], "boot_index": 0, "device_name": "/dev/vda", "delete_on_termination": True},
        {**common, "snapshot_id": taken[1], "boot_index": None, "device_name": "/dev/vdb", "tag": "data"},
    ]
    image = pointing(lab, demo, devices, hw_qemu_guest_agent="yes")
    got = lab.boot(demo, imageRef=image)
    assert got.image_id == "" and got.image_properties["hw_qemu_guest_agent"] == "yes"
    root, data = got.volumes
    assert (root.snapshot_id, root.boot_index, root.create, root.delete_on_termination) == (taken[0], 0, True, True)
    assert (data.snapshot_id, data.boot_index, data.tag) == (taken[1], None, "data")
    own = {"device_name": "/dev/vdb", "source_type": "blank", "destination_type": "volume", "volume_size": 2}
    replaced = lab.boot(demo, imageRef=image, block_device_mapping_v2=[own]).volumes
    assert [(each.snapshot_id, each.size_gb) for each in replaced] == [(taken[0], 1), (None, 2)]
    local = {"uuid": image, "boot_index": 0, "source_type": "image", "destination_type": "local"}
    assert len(lab.boot(demo, imageRef=image, block_device_mapping_v2=[local]).volumes) == 2


@pytest.mark.parametrize(
    "devices",
    [
        "no JSON",
        "7",
        ["text"],
        [{"source_type": "image", "destination_type": "local"}],
        [{"source_type": "snapshot", "snapshot_id": 7, "boot_index": 0}],
        [{"source_type": "snapshot", "snapshot_id": "x", "boot_index": {}}],
    ],
)
def test_properties_that_somebody_wrote(lab: Lab, demo: Api, devices: Any) -> None:
    words = lab.refused(demo, 400, imageRef=pointing(lab, demo, devices))
    assert words == "Block Device Mapping is Invalid: the image's block_device_mapping is malformed."


def test_a_rebuild_from_such_an_image(cloud: Cloud, lab: Lab, demo: Api) -> None:
    image = pointing(lab, demo, [])
    server = cloud.server(demo, host="node1", image_ref=str(uuid.uuid4()))
    words = demo.refused("POST", f"/servers/{server}/action", 400, json={"rebuild": {"imageRef": image}})
    assert words == f"Image {image} is unacceptable: it names volumes and has no data of its own."
