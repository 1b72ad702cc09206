"""What one boot costs in the compute database, counted where the statements leave for it."""

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, event

from api.compute.app import create_compute
from tests.workflows.cloud import Cloud
from workers.sign_in import as_service

MOST = 25
CLAIM_CHECK = 1
"""The host's own question before the guest's first instruction; it is answered by another process."""
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def statements() -> Iterator[list[str]]:
    seen: list[str] = []

    def note(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "compute" in str(connection.engine.url) and not statement.startswith("BEGIN"):
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield seen
    event.remove(Engine, "before_cursor_execute", note)


async def test_a_boot_needs_few_statements(cloud: Cloud, statements: list[str]) -> None:
    """From POST /servers to ACTIVE, in the API and the control worker; no connection is prepared meanwhile."""
    settings = as_service(cloud.settings, "nova")
    app = create_compute(settings, cloud.ops)
    headers = {"X-Auth-Token": cloud.token, "OpenStack-API-Version": "compute 2.90"}
    image = httpx.post(
        settings.url("image", "/v2/images"),
        json={"name": "counted", "disk_format": "raw", "container_format": "bare"},
        headers=headers,
    ).json()["id"]
    data = headers | {"Content-Type": "application/octet-stream"}
    httpx.put(settings.url("image", f"/v2/images/{image}/file"), content=b"0" * 512, headers=data).raise_for_status()
    server = {"name": "counted", "imageRef": image, "flavorRef": "tiny", "networks": [{"uuid": cloud.network}]}
    counts = []
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://compute") as client:
            for _ in range(2):  # the first one opens connections
                statements.clear()
                names = {**server, "name": f"counted-{uuid.uuid4()}"}
                answer = await client.post("/v2.1/servers", json={"server": names}, headers=headers)
                assert answer.status_code == 202, answer.text
                handle = cloud.client.get_workflow_handle(f"server-{answer.json()['server']['id']}")
                assert await cloud.end(handle) is None
                counts.append([line for line in statements if not line.startswith("PRAGMA")])
                await cloud.delete(handle)
                await cloud.end(handle)
    assert 5 < len(counts[-1]) + CLAIM_CHECK <= MOST, "\n".join(counts[-1])
    print(len(counts[-1]) + CLAIM_CHECK, "statements")
