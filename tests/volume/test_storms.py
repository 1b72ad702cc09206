"""What a storm says of volumes: those that it made itself, however often it had to ask, are no leaks."""

import asyncio
import json
import random
import uuid
from pathlib import Path

import httpx

from infra import credentials
from infra.contracts.volume import GOES_WITH_IT, MADE_FOR
from tests.chaos import story
from tests.chaos.acts import Acts
from tests.chaos.cloud import Cloud as Stormy
from tests.chaos.cloud import Tenant
from tests.chaos.truth import of_volume
from tests.volume.cloud import Cloud


class Losing(httpx.AsyncHTTPTransport):
    """The first answer to a volume's POST gets lost, as when the service is killed right after it wrote the volume."""

    lost = ""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        if not self.lost and request.method == "POST" and request.url.path.endswith("/volumes"):
            await answer.aread()
            self.lost = answer.json()["volume"]["id"]
            raise httpx.ReadError("the other end went away")
        return answer


def test_a_volume_whose_answer_was_lost_is_no_servers(cloud: Cloud) -> None:
    """One storm of four was said to leak: the storm had asked again, and knew of the second volume alone."""
    stormy, transport = Stormy(cloud.settings.state_dir, cloud.settings.port_offset), Losing()
    tenant = Tenant("demo", credentials.load(cloud.settings.state_dir)["demo"], cloud.settings)
    acts = Acts(stormy, random.Random(1))

    async def ask() -> str:
        async with httpx.AsyncClient(timeout=20, transport=transport) as stormy.http:
            tenant.project = cloud.project_ids["demo"]
            return await acts._made(tenant)

    made = asyncio.run(ask())
    assert transport.lost not in ("", made) and acts.parted == {made}
    for volume_id in (made, transport.lost):
        cloud.settled(volume_id, "available")
        assert of_volume(cloud.ok("GET", f"/volumes/{volume_id}")["volume"], [], {}, acts.parted) == ""
    asked = list(story.naming(stormy.asked, [made, transport.lost, story.NO_ANSWER]))
    assert [line.partition(" -> ")[2] for line in asked] == ["no answer: ReadError", f"202 {made}"]


def test_a_volume_that_a_build_made_and_nobody_holds_is_a_leak(cloud: Cloud) -> None:
    server_id = str(uuid.uuid4())
    volume_id = cloud.volume(metadata={MADE_FOR: server_id, GOES_WITH_IT: "True"})
    volume = cloud.ok("GET", f"/volumes/{volume_id}")["volume"]
    assert of_volume(volume, [], {}, set()).endswith(f"was made for server {server_id}, to go with it")
    assert of_volume(volume, [], {}, {volume_id}) == "", "its server was asked to give it back"


def test_a_story_has_the_logs_lines_in_order_and_no_looks(tmp_path: Path) -> None:
    one, other = str(uuid.uuid4()), str(uuid.uuid4())
    said = {"event": "step failed", "process": "worker-compute", "instance_id": one, "error": "why"}
    late, early = (json.dumps({**said, "timestamp": f"2026-01-01T00:00:0{n}Z"}) for n in (2, 1))
    (tmp_path / "worker.log").write_text(f"{late}\n{early}\n{late.replace(one, other)}\n")
    (tmp_path / "api.log.1").write_text(json.dumps({"method": "GET", "path": f"/v2.1/servers/{one}"}) + "\n")
    (tmp_path / "keystone.log").write_text(f"a line of {one} that is no JSON\n")
    told = list(story.logged(tmp_path, [one]))
    assert [line[:32] for line in told[:2]] == ["2026-01-01T00:00:01Z worker-comp", "2026-01-01T00:00:02Z worker-comp"]
    assert told[2:] == [f"a line of {one} that is no JSON"]
    assert story.last(str(n) for n in range(story.LINES + 2)) == [
        "… 2 more before",
        *map(str, range(2, story.LINES + 2)),
    ]
