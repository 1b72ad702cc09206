"""Requests that cannot be fulfilled get the status and words that Nova's users know, and leave nothing behind."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.e2e.cloud import Cloud
from workers.codec_server import access_token

NOWHERE = "b5d5dbb1-7bf5-4f9e-8b9a-5a5ad0b5bb6b"
INVALID = "Invalid input for field/attribute"  # Nova's frame; unlike Nova never with the value, which may be a secret


@dataclass
class Lab:
    cloud: Cloud
    http: httpx.Client
    good: dict[str, Any]
    admins_server: str
    small_flavor: str

    def left(self) -> dict[str, int]:
        """What a request may have made: servers, ports, volumes, and runs of any workflow."""
        sdk = self.cloud.admin.sdk
        ui = f"http://127.0.0.1:{self.cloud.settings.port('temporal_ui')}/api/v1/namespaces/default/workflow-count"
        operator = ("operator", access_token(self.cloud.settings))
        others = 'WorkflowType NOT IN ("ReconcileCloud", "FollowServices")'
        runs = httpx.get(ui, params={"query": others}, auth=operator).json()["count"]
        servers = len(list(sdk.compute.servers(all_projects=True)))
        volumes = len(list(sdk.block_storage.volumes(all_projects=True)))
        return {"servers": servers, "ports": len(list(sdk.network.ports())), "volumes": volumes, "runs": int(runs)}


@pytest.fixture(scope="module")
def lab(cloud: Cloud) -> Iterator[Lab]:
    image = cloud.demo.sdk.image.find_image("cirros").id
    good = {"name": "x", "imageRef": image, "flavorRef": "0", "networks": [{"uuid": cloud.network}]}
    small = cloud.admin("flavor", "create", "--vcpus", "1", "--ram", "1", "--disk", "1", "small")["id"]
    empty = cloud.admin.sdk.image.create_image("empty", data=bytes(1 << 20), disk_format="raw", container_format="bare")
    alien = cloud.admin("server", "create", "--flavor", "0", "--image", "empty", "--nic", "none", "of-admin")["id"]
    cloud.built(alien)  # with nothing to boot from: nobody waits for its guest
    headers = {"X-Auth-Token": cloud.demo.sdk.auth_token, "OpenStack-API-Version": "compute 2.104"}
    with httpx.Client(base_url=cloud.settings.url("compute", "/v2.1"), headers=headers, timeout=30) as http:
        yield Lab(cloud, http, good, alien, small)
    cloud.admin("server", "delete", "--wait", alien)
    cloud.admin("flavor", "delete", small)
    cloud.admin.sdk.image.delete_image(empty)


def answered(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, Nova's name for it, and the message; the body must say the same status."""
    ((name, fault),) = answer.json().items()
    assert fault["code"] == answer.status_code and answer.headers["x-openstack-request-id"].startswith("req-")
    return answer.status_code, name, fault["message"]


@pytest.mark.turns
@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"flavorRef": "none"}, "Flavor none could not be found."),
        ({"imageRef": NOWHERE}, "Can not find requested image"),
        ({"networks": [{"uuid": NOWHERE}]}, f"Network {NOWHERE} could not be found."),
        ({"key_name": "none"}, "Invalid key_name provided."),
        ({"security_groups": [{"name": "none"}]}, "Security group none not found."),
        ({"flavorRef": "small"}, "Flavor's memory is too small for requested image."),
        ({"user_data": "A" * 65536}, f"{INVALID} server/user_data. It is too long"),
        ({"name": 7}, f"{INVALID} server/name. It is not of type 'string'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_server_that_cannot_be(lab: Lab, about: dict[str, Any], message: str) -> None:
    if about.get("flavorRef") == "small":
        about = {"flavorRef": lab.small_flavor}
    before = lab.left()
    answer = lab.http.post("/servers", json={"server": lab.good | about})
    assert answered(answer) == (400, "badRequest", message)
    assert lab.left() == before


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"", b"{}", json.dumps({"server": None}).encode(), b"\xff"])
def test_a_malformed_body(lab: Lab, body: bytes) -> None:
    before = lab.left()
    answer = lab.http.post("/servers", content=body, headers={"Content-Type": "application/json"})
    assert answered(answer)[:2] == (400, "badRequest")
    assert lab.left() == before


@pytest.mark.parametrize("token", ["", "x", "gAAAAA" + "x" * 180])
def test_a_wrong_token(lab: Lab, token: str) -> None:
    before = lab.left()
    answer = lab.http.post("/servers", json={"server": lab.good}, headers={"X-Auth-Token": token})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Keystone uri=")
    assert lab.left() == before


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_another_projects_server(lab: Lab, method: str) -> None:
    body = {"server": {"name": "mine"}} if method == "PUT" else None
    for server_id in (lab.admins_server, str(uuid.UUID(NOWHERE))):
        answer = lab.http.request(method, f"/servers/{server_id}", json=body)
        assert answered(answer) == (404, "itemNotFound", f"Instance {server_id} could not be found.")
    assert lab.cloud.admin("server", "show", lab.admins_server)["name"] == "of-admin"
