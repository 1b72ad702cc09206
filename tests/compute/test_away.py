"""With a neighbour away the compute API says 503: never that a thing is not there, never a shorter list."""

import uuid
from collections.abc import Callable

import httpx
import pytest

from tests.compute.conftest import HTTP, Api, Cloud
from tests.openstack import OpenStack
from tests.ports import free_port

Ask = Callable[[Api, str, str], str]
"""(who, server, volume) -> the message of the refusal."""


def boots(who: Api, _server: str, _volume: str) -> str:
    server = {"name": "vm", "flavorRef": "tiny", "imageRef": "6a1d7c5e-3f34-4a3e-8f6c-0d7a3e6f1b11", "networks": "none"}
    return who.refused("POST", "/servers", 503, json={"server": server})


def lists_interfaces(who: Api, server: str, _volume: str) -> str:
    return who.refused("GET", f"/servers/{server}/os-interface", 503)


def shows_groups(who: Api, server: str, _volume: str) -> str:
    return who.refused("GET", f"/servers/{server}/os-security-groups", 503)


def attaches(who: Api, server: str, volume: str) -> str:
    body = {"volumeAttachment": {"volumeId": volume}}
    return who.refused("POST", f"/servers/{server}/os-volume_attachments", 503, json=body)


def refused_for_what_comes_first(cloud: Cloud, who: Api, server: str, volume: str) -> None:
    """The volume is looked at beside the server: what is wrong with the request otherwise is told all the same."""
    wish = {"volumeId": volume}
    locked = cloud.server(who, host="node1", locked=True, locked_by="admin")
    for path, asked, status in (
        (str(uuid.uuid4()), wish, 404),
        (server, {**wish, "strange": 1}, 400),
        (server, {"volumeId": "not-an-id"}, 400),
        (locked, wish, 409),
    ):
        who.refused("POST", f"/servers/{path}/os-volume_attachments", status, json={"volumeAttachment": asked})


def again(cloud: Cloud, who: Api) -> Api:
    """Signed in once more, so that the token's catalog is today's."""
    auth = {"identity": {"methods": ["token"], "token": {"id": who.token}}}
    body = {"auth": auth | {"scope": {"project": {"id": who.project_id}}}}
    answer = httpx.post(f"{cloud.settings.identity_url}/auth/tokens", json=body, **HTTP)
    return Api(cloud.settings.url("compute"), answer.headers["X-Subject-Token"], answer.json()["token"])


@pytest.mark.parametrize(
    ("kind", "ask"),
    [("image", boots), ("network", lists_interfaces), ("network", shows_groups), ("block-storage", attaches)],
)
def test_a_neighbour_that_is_away(
    cloud: Cloud, openstack: OpenStack, admin: Api, tiny: object, kind: str, ask: Ask
) -> None:
    owner = cloud.tenant(admin)
    port = {
        "port_id": "p",
        "network_id": "n",
        "label": "net",
        "mac": "fa:16:3e:00:00:09",
        "fixed_ips": ["10.60.0.9"],
        "device": "tap",
    }
    server, volume = cloud.server(owner, host="node1", networks=[port]), cloud.volume(owner)
    with openstack.service_at(kind, f"http://127.0.0.1:{free_port()}"):
        away = again(cloud, owner)
        assert "not reachable" in ask(away, server, volume)
        shown = away.get(f"/servers/{server}")["server"]
        assert shown["id"] == server, "what needs no neighbour is told"
        if kind == "block-storage":
            refused_for_what_comes_first(cloud, away, server, volume)
        if kind == "network":
            assert shown["addresses"]["net"] and away.get(f"/servers/{server}/ips")["addresses"]["net"], "not none"
