"""What the network service tells the compute service of servers' ports, and what it keeps to itself."""

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.network.conftest import Api, Cloud
from tests.volume.events import EventServer

Told = tuple[str, str, str]


@pytest.fixture
def compute(cloud: Cloud) -> Iterator[EventServer]:
    with EventServer(cloud.settings.port("compute")) as server:
        yield server


class Card:
    """A server's port on a network with two subnets, and what was told of it."""

    def __init__(self, user: Api, service: Api, compute: EventServer) -> None:
        self.user, self.compute, self.server = user, compute, str(uuid.uuid4())
        self.network = user.network(name="before")
        self.subnet = user.subnet(self.network)
        self.port = service.port(
            self.network,
            project_id=user.project_id,
            device_id=self.server,
            device_owner="compute:nova",
            fixed_ips=[{"ip_address": "10.1.0.9"}],
        )

    def told(self) -> list[Told]:
        """In their order; a change that is always told is made last, so that nothing is waited for in vain."""
        last = self.user.port(self.network, device_id=str(uuid.uuid4()), device_owner="compute:nova")
        self.user.delete(f"/ports/{last['id']}")
        end = time.monotonic() + 20
        while time.monotonic() < end:
            found = [(e["name"], e["server_uuid"], e["tag"]) for _, e in list(self.compute.told)]
            if any(tag == last["id"] for _, _, tag in found):
                return [one for one in found if one[1] == self.server]
            time.sleep(0.02)
        raise AssertionError(self.compute.told)


@pytest.fixture
def card(demo: Api, service: Api, compute: EventServer) -> Card:
    return Card(demo, service, compute)


def put(card: Card, kind: str, **changed: Any) -> None:
    one = getattr(card, kind)
    card.user.put(f"/{kind}s/{one['id']}", kind, **changed)


CHANGES: dict[str, Callable[[Card], None]] = {
    "an address": lambda card: put(card, "port", fixed_ips=[{"ip_address": "10.1.0.10"}]),
    "one more": lambda card: put(card, "port", fixed_ips=[{"ip_address": "10.1.0.9"}, {"ip_address": "10.1.0.10"}]),
    "name servers": lambda card: put(card, "subnet", dns_nameservers=["10.1.0.53"]),
    "the gateway": lambda card: put(card, "subnet", gateway_ip=None),
    "the network's MTU": lambda card: put(card, "network", mtu=1400),
    "routes": lambda card: put(card, "subnet", host_routes=[{"destination": "10.9.0.0/24", "nexthop": "10.1.0.3"}]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_a_record_or_a_drive_has_is_told_at_once(card: Card, change: Callable[[Card], None]) -> None:
    assert card.told() == [], "whoever makes a port for a server knows it"
    change(card)
    assert card.told() == [("network-changed", card.server, card.port["id"])]
    change(card)
    assert len(card.told()) == 1, "nothing changed"


KEPT: dict[str, Callable[[Card], None]] = {
    "groups": lambda card: put(card, "port", security_groups=[]),
    "pairs": lambda card: put(card, "port", allowed_address_pairs=[{"ip_address": "10.1.0.77"}]),
    "the port's DNS name": lambda card: put(card, "port", dns_name="other"),
    "its admin state": lambda card: put(card, "port", admin_state_up=False),
    "its name": lambda card: put(card, "port", name="other"),
    "the subnet's name": lambda card: put(card, "subnet", name="other"),
}


@pytest.mark.parametrize("change", KEPT.values(), ids=KEPT.keys())
def test_what_hosts_alone_carry_out_is_not(card: Card, change: Callable[[Card], None]) -> None:
    """A host hears of it by its poll; no record, no drive has it."""
    change(card)
    assert card.told() == []


def test_a_deleted_port_is_told_of_unless_its_host_deleted_it(card: Card, demo: Api, service: Api) -> None:
    demo.delete(f"/ports/{card.port['id']}")
    assert card.told() == [("network-vif-deleted", card.server, card.port["id"])]
    own = service.port(card.network, project_id=demo.project_id, device_id=card.server, device_owner="compute:nova")
    service.delete(f"/ports/{own['id']}")
    assert len(card.told()) == 1


def test_addresses_that_a_subnet_brings_and_takes_are_told_of(card: Card, demo: Api) -> None:
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    subnet = demo.post("/subnets", "subnet", network_id=card.network["id"], ip_version=6, cidr="fd00:9::/64", **modes)
    assert card.told() == [("network-changed", card.server, card.port["id"])]
    demo.delete(f"/subnets/{subnet['id']}")
    assert card.told() == [("network-changed", card.server, card.port["id"])] * 2


def test_a_busy_server_is_told_of_again_and_so_is_a_service_that_was_away(card: Card) -> None:
    card.compute.down, card.compute.busy = 1, 1
    put(card, "port", fixed_ips=[{"ip_address": "10.1.0.11"}])
    end = time.monotonic() + 20
    while not card.compute.told and time.monotonic() < end:
        time.sleep(0.02)
    assert card.told() == [("network-changed", card.server, card.port["id"])]


def test_an_answer_waits_for_nobody(card: Card, demo: Api) -> None:
    """The compute service is away: the change is made all the same, and what comes later is told."""
    card.compute.down = 2
    put(card, "port", fixed_ips=[{"ip_address": "10.1.0.12"}])
    seen = demo.get(f"/ports/{card.port['id']}")["port"]
    assert [fixed["ip_address"] for fixed in seen["fixed_ips"]] == ["10.1.0.12"]
    assert card.told() == [("network-changed", card.server, card.port["id"])]
