"""`trusted_image_certificates` (2.63): certificates by which the signatures of a server's images must hold."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session

from infra.contracts.abilities import IMAGE_SIGNATURES
from infra.stores.claims import needs_of
from infra.tables.compute import ComputeNode, Instance
from tests.compute.conftest import Api, Cloud
from tests.compute.test_boot import Lab, lab

__all__ = ["lab"]
ID = "11111111-0000-4000-8000-000000000001"
UNSET = "No certificates of images are configured (image_certificates): none can be trusted."


@pytest.fixture
def configured(cloud: Cloud, tmp_path: Path) -> Iterator[None]:
    cloud.settings.image_certificates = tmp_path
    yield
    cloud.settings.image_certificates = None


@pytest.mark.usefixtures("configured")
def test_they_reach_the_build_and_are_shown(lab: Lab, cloud: Cloud, demo: Api) -> None:
    request = lab.boot(demo, "2.63", trusted_image_certificates=[ID, "any text"])
    assert request.trusted_certificates == [ID, "any text"]
    path = f"/servers/{request.instance_id}"
    assert demo.get(path, version="2.63")["server"]["trusted_image_certificates"] == [ID, "any text"]
    assert "trusted_image_certificates" not in demo.get(path, version="2.62")["server"]
    with Session(cloud.database.engine) as store:
        assert IMAGE_SIGNATURES in needs_of(store.get_one(Instance, request.instance_id))
    assert lab.boot(demo, "2.63", trusted_image_certificates=None).trusted_certificates == []
    plain = lab.boot(demo, "2.63")
    assert demo.get(f"/servers/{plain.instance_id}", version="2.63")["server"]["trusted_image_certificates"] is None


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ([], "too short"),
        ([ID, ID], "non-unique"),
        ([""], "/0. It is too short"),
        (ID, "array"),
        ([1], "string"),
        ([str(number) for number in range(51)], "too long"),
    ],
)
def test_what_they_may_be(lab: Lab, cloud: Cloud, demo: Api, wish: Any, words: str) -> None:
    body = lab.server(trusted_image_certificates=wish)
    assert words in demo.refused("POST", "/servers", 400, "2.63", json=body)
    rebuild = {"rebuild": {"imageRef": lab.image, "trusted_image_certificates": wish}}
    server = cloud.server(demo, host="node1", image_ref=str(uuid.uuid4()))
    assert words in demo.refused("POST", f"/servers/{server}/action", 400, "2.63", json=rebuild)


def test_nobody_is_trusted_where_the_operator_named_no_certificates(lab: Lab, cloud: Cloud, demo: Api) -> None:
    body = lab.server(trusted_image_certificates=[ID])
    assert demo.refused("POST", "/servers", 400, "2.63", json=body) == UNSET
    server = cloud.server(demo, host="node1", image_ref=str(uuid.uuid4()))
    rebuild = {"rebuild": {"imageRef": lab.image, "trusted_image_certificates": [ID]}}
    assert demo.refused("POST", f"/servers/{server}/action", 400, "2.63", json=rebuild) == UNSET


def on_a_host_that_verifies(cloud: Cloud, demo: Api) -> str:
    able: dict[str, Any] = {"vcpus": 1, "memory_mb": 1, "disk_gb": 1, "facts": {"abilities": [IMAGE_SIGNATURES]}}
    with cloud.database.write() as store:
        store.merge(ComputeNode(host="signing", id=str(uuid.uuid4()), **able))
    return cloud.server(demo, host="signing", image_ref=str(uuid.uuid4()), trusted_certificates=["before"])


@pytest.mark.usefixtures("configured")
def test_a_rebuild_keeps_them_changes_them_or_takes_them_away(lab: Lab, cloud: Cloud, demo: Api) -> None:
    server = cloud.server(demo, host="node1", image_ref=str(uuid.uuid4()), trusted_certificates=["before"])
    path, rebuild = f"/servers/{server}/action", {"imageRef": lab.image}
    lacking = demo.refused("POST", path, 400, "2.63", json={"rebuild": rebuild})
    assert "cannot image-signatures" in lacking
    answer = demo.post(path, {"rebuild": {**rebuild, "trusted_image_certificates": None}}, 202, "2.63")
    assert answer["server"]["trusted_image_certificates"] is None
    assert cloud.ledger.bodies[-1]["columns"]["trusted_certificates"] is None
    server = on_a_host_that_verifies(cloud, demo)
    path = f"/servers/{server}/action"
    answer = demo.post(path, {"rebuild": {**rebuild, "trusted_image_certificates": [ID]}}, 202, "2.63")
    assert answer["server"]["trusted_image_certificates"] == [ID]
    answer = demo.post(path, {"rebuild": rebuild}, 202, "2.63")
    assert answer["server"]["trusted_image_certificates"] == ["before"]
    assert "trusted_certificates" not in cloud.ledger.bodies[-1]["columns"]


@pytest.mark.usefixtures("configured")
def test_who_names_none_trusts_those_of_the_operator(lab: Lab, cloud: Cloud, demo: Api) -> None:
    """Mechanism: `trusted_by`. As Nova's `default_trusted_certificate_ids`, also where 2.63 is not asked for."""
    cloud.settings.default_trusted_certificates = ["house"]
    try:
        for version, named, trusted in (
            ("2.62", {}, ["house"]),
            ("2.63", {}, ["house"]),
            ("2.63", {"trusted_image_certificates": None}, ["house"]),
            ("2.63", {"trusted_image_certificates": [ID]}, [ID]),
        ):
            request = lab.boot(demo, version, **named)
            assert request.trusted_certificates == trusted
            shown = demo.get(f"/servers/{request.instance_id}", version="2.63")["server"]
            assert shown["trusted_image_certificates"] == trusted
        root = {"boot_index": 0, "uuid": lab.image, "source_type": "image", "destination_type": "volume"}
        body = lab.server(imageRef="", block_device_mapping_v2=[root | {"volume_size": 1}])
        assert "booting from volume" in demo.refused("POST", "/servers", 400, "2.63", json=body)
        server = on_a_host_that_verifies(cloud, demo)
        for named, trusted in (({"trusted_image_certificates": None}, ["house"]), ({}, ["before"])):
            body = {"rebuild": {"imageRef": lab.image, **named}}
            answer = demo.post(f"/servers/{server}/action", body, 202, "2.63")
            assert answer["server"]["trusted_image_certificates"] == trusted
    finally:
        cloud.settings.default_trusted_certificates = []


@pytest.mark.usefixtures("configured")
def test_volumes_have_no_signature(lab: Lab, cloud: Cloud, demo: Api) -> None:
    root = {"boot_index": 0, "uuid": lab.image, "source_type": "image", "destination_type": "volume", "volume_size": 1}
    body = lab.server(trusted_image_certificates=[ID], imageRef="", block_device_mapping_v2=[root])
    words = demo.refused("POST", "/servers", 400, "2.63", json=body)
    assert words == "Image certificate validation is not supported when booting from volume"
    server = cloud.server(demo, host="node1", image_ref="")
    rebuild = {"rebuild": {"imageRef": lab.image, "trusted_image_certificates": [ID]}}
    words = demo.refused("POST", f"/servers/{server}/action", 400, "2.63", json=rebuild)
    assert words == "Image certificate validation is not supported for volume-backed servers."
