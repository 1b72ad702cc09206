"""What a look at servers' ports takes an answer for: short pages, a service that lost its store, one that is away."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from keystoneauth1.session import Session
from keystoneauth1.token_endpoint import Token

from infra.contracts.errors import NeighbourAway
from infra.contracts.network import PortNow, PortsHeld, differ, digest_of, drive_is_old
from infra.host.services import ports_now
from infra.host.services.ports_now import PortsNow


class Network(http.server.ThreadingHTTPServer):
    """A network service with `ports` (id → its server) on one network, in pages of `most`, however many were asked
    for: as Neutron with `pagination_max_limit`. `drops`: ids that it forgets once, in a list of everything."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.ports: dict[str, str] = {}
        self.networks = ["net"]
        self.most, self.status, self.asked, self.drops = 500, 200, 0, set[str]()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def looks(self) -> PortsNow:
        return PortsNow(Session(auth=Token(f"http://127.0.0.1:{self.server_address[1]}", "t"), connect_retries=0), "")

    def list(self, kind: str, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        if kind == "networks":
            return [{"id": id, "name": "n"} for id in self.networks if id in query["id"]]
        if kind == "subnets":
            return [{"id": "sub", "cidr": "10.0.0.0/8", "network_id": "net"}]
        wanted = set(query.get("id", self.ports)) - (self.drops if "id" not in query else set())
        found = {id: owner for id, owner in sorted(self.ports.items()) if id in wanted}
        if device := query.get("device_id"):
            found = {id: owner for id, owner in found.items() if owner in device}
        fixed = [{"ip_address": "10.0.0.1", "subnet_id": "sub"}]
        more = {"device_owner": "compute:nova", "network_id": "net", "mac_address": "m", "fixed_ips": fixed}
        return [{"id": id, "device_id": owner, **more} for id, owner in found.items()]


class Answer(http.server.BaseHTTPRequestHandler):
    server: Network

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        kind, query = url.path.rsplit("/", 1)[1], parse_qs(url.query)
        self.server.asked += 1
        found = self.server.list(kind, query)
        after = query.get("marker", [""])[0]
        rest = [one for one in found if one["id"] > after]
        page = rest[: self.server.most]
        links = {f"{kind}_links": [{"rel": "next", "href": "…"}]} if len(page) < len(rest) else {}
        body = json.dumps({kind: page, **links}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    monkeypatch.setattr(ports_now, "SECOND_LOOK_S", 0.0)
    with Network() as server:
        yield server
        server.shutdown()


def test_pages_shorter_than_asked_for_are_gone_through(network: Network) -> None:
    """Mechanism: the service's own word that there is a next page."""
    network.ports = {f"p{number:03}": "server" for number in range(95)}
    network.most = 10
    assert network.looks.all().keys() == network.ports.keys()


def test_gone_is_what_is_not_found_by_its_own_id(network: Network) -> None:
    network.ports = {"a": "server", "b": "server", "c": "another"}
    network.drops = {"b"}
    assert network.looks.all().keys() == {"a", "c"}
    nets = dict.fromkeys("abcd", "net")
    assert network.looks.gone(dict.fromkeys("abcd", "server"), nets, knows=False) == ["c", "d"]
    seen = network.looks.of_server(PortsHeld(instance_id="server", ports=nets))
    assert (set(seen.ports), seen.gone) == ({"a"}, ["c", "d"]), "b was not seen, and is not gone"


def test_a_service_that_lost_its_store_knows_of_no_end(network: Network) -> None:
    """Mechanism: nothing is gone in the words of one that knows neither the port's network nor any other port."""
    network.networks = []
    one, nets = {"a": "server"}, {"a": "net"}
    assert network.looks.gone(one, nets, knows=False) == []
    assert network.looks.of_server(PortsHeld(instance_id="server", ports=nets)).gone == []
    assert network.looks.gone(one, nets, knows=True) == ["a"], "it knows ports of ours: the network went as well"
    network.networks = ["net"]
    assert network.looks.gone(one, nets, knows=False) == ["a"]


def test_a_service_that_fails_has_said_nothing(network: Network) -> None:
    network.status = 503
    with pytest.raises(NeighbourAway):
        network.looks.all()
    with pytest.raises(NeighbourAway):
        network.looks.gone({"a": "server"}, {"a": "net"}, knows=True)


def test_what_ports_tell_costs_three_questions(network: Network) -> None:
    """Mechanism: PortsNow._shown. Of all ports at once: the ports, their subnets, and the MTU of their networks."""
    network.ports = {"a": "server", "b": "server"}
    assert network.looks.all().keys() == {"a", "b"}
    assert network.asked == 3
    network.networks = []
    assert network.looks.all() == {}, "of a network that is not told nothing is known"


def test_what_was_noted_before_there_were_mtus_tells_of_no_change() -> None:
    """Mechanism: `differ`. Every server would have been refreshed by the first look of a new release."""
    now = digest_of("m", [], 1450)
    before, _ = now.split("/")
    assert not differ(before, now) and differ("another", now) and differ(digest_of("m", [], 1500), now)
    assert not differ(now, before), "an older worker looked last"
    assert not drive_is_old([{"told": before, "now": now}, {"told": before, "now": before}, {}])
    assert drive_is_old([{"told": now, "now": digest_of("m", [], 1400)}])


def test_what_an_older_worker_saw_is_read() -> None:
    told = {"device_id": "server", "label": "net", "fixed_ips": ["10.0.0.1"], "told": "digest"}
    assert PortNow.model_validate(told).fixed_ips == ["10.0.0.1"]
