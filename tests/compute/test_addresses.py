"""A server's addresses are those of its ports, whoever changed them."""

import uuid
from typing import Any

import pytest

from api.compute.neighbours import Neighbours
from tests.compute.cards import Network, card
from tests.compute.conftest import Api, Cloud


def shown(demo: Api, server: str) -> list[list[str]]:
    """As every answer tells them, which agree."""
    ips = demo.get(f"/servers/{server}/ips")["addresses"]
    listed = {each["id"]: each["addresses"] for each in demo.get("/servers/detail")["servers"]}[server]
    found = []
    for told in (demo.get(f"/servers/{server}")["server"]["addresses"], listed, ips):
        found.append([each["addr"] for network in told.values() for each in network])
    assert found[0] == found[1] == found[2]
    return [list(ips), found[0]]


def test_what_becomes_of_a_port_behind_its_servers_back(
    cloud: Cloud, demo: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = str(uuid.uuid4())
    port = card(cloud, demo, server, "192.168.56.9")
    cloud.server(demo, id=server, host="node1", networks=[port])
    assert shown(demo, server) == [["provider"], ["192.168.56.9"]]
    network, path = Network(cloud, demo), f"/ports/{port['port_id']}"
    more = [{"ip_address": "fd00::7"}, {"ip_address": "192.168.56.9"}]
    network.put(path, {"port": {"fixed_ips": more}})
    assert shown(demo, server) == [["provider"], ["192.168.56.9", "fd00::7"]], "what the record knows comes first"
    network.put(path, {"port": {"fixed_ips": [{"ip_address": "192.168.56.77"}]}})
    assert shown(demo, server) == [["provider"], ["192.168.56.77"]]
    network.put(path, {"port": {"device_id": ""}})
    assert shown(demo, server) == [[], []], "it is nobody's"
    network.put(path, {"port": {"device_id": server}})
    for answer in (None, {"ports": [], "ports_links": [{"rel": "next", "href": "more"}]}):
        with monkeypatch.context() as strange:
            strange.setattr(Neighbours, "get", lambda *_, answer=answer, **__: answer)
            assert shown(demo, server) == [["provider"], ["192.168.56.9"]], "a refusal or a part is not all"
    network.delete(path)
    assert shown(demo, server) == [[], []]
    demo.refused("GET", f"/servers/{server}/ips/provider", 404)


def test_a_port_that_the_record_does_not_know_yet_is_not_shown(cloud: Cloud, demo: Api) -> None:
    """It is being attached: shown once the guest has it."""
    server = str(uuid.uuid4())
    known: dict[str, Any] = card(cloud, demo, server, "192.168.56.9")
    card(cloud, demo, server, "192.168.56.10")
    cloud.server(demo, id=server, host="node1", networks=[known])
    assert shown(demo, server)[1] == ["192.168.56.9"]
