"""Whom a server trusts goes with every image that a host makes a disk of for it."""

import pytest
from sqlmodel import select

from infra.contracts.abilities import IMAGE_SIGNATURES
from infra.tables.compute import ComputeNode
from tests.frame.cloud import FrameCloud
from tests.frame.test_resize import row
from tests.workflows.acting import do, request
from tests.workflows.ways import ELSEWHERE

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(autouse=True)
def able(cloud: FrameCloud) -> None:
    """Hosts verify signatures, whatever other tests had them tell."""
    with cloud.database.write() as session:
        for node in session.exec(select(ComputeNode)).all():
            node.facts = {**node.facts, "abilities": sorted({*node.facts.get("abilities", ()), IMAGE_SIGNATURES})}


async def test_builds_rescues_and_rebuilds(cloud: FrameCloud) -> None:
    asked = cloud.things.trusted
    asked.clear()
    handle = await cloud.boot(booted := cloud.request(trusted_certificates=["a"], local_disks=[], volumes=[]))
    assert await cloud.end(handle) is None
    for name in ("rescue", "unrescue", ELSEWHERE, "confirmResize"):
        assert await do(cloud, handle, name) is None, name
    assert [(step, trusted) for step, _, trusted in asked] == [
        ("fetch_to_host", ["a"]),
        ("fetch_rescue_disk", ["a"]),
        ("fetch_to_host", []),  # the copy of its disk, which its cloud made
    ]
    assert asked[0][1] == booted.image_id != asked[2][1] and row(cloud, handle).trusted_certificates == ["a"]
    for columns, now in (({}, ["a"]), ({"trusted_certificates": ["b"]}, ["b"]), ({"trusted_certificates": None}, [])):
        asked.clear()
        rebuild = request(cloud, handle, "rebuild")
        rebuild[1].body["columns"] = columns
        await cloud.ops.start(*rebuild)
        assert await cloud.end(handle) is None
        assert [(step, trusted) for step, _, trusted in asked] == [("cache_image", now), ("fetch_to_host", now)]
        assert (row(cloud, handle).trusted_certificates or []) == now
    await cloud.drop(handle)
