"""What hosts are told to carry, what they report, and who takes over when one falls silent."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from api.network.model import hosts
from api.network.news import News
from infra.database import Database
from infra.tables.network import Host as Row
from infra.tables.network import Network, Router, now
from tests.network.conftest import Api, Cloud

Make = Callable[..., dict[str, Any]]


class Host:
    """A compute host as this service sees it."""

    def __init__(self, service: Api, number: int, mappings: dict[str, str]) -> None:
        self.service, self.name = service, f"host-{uuid.uuid4().hex[:8]}"
        self.tunnel_ip, self.mappings = f"10.255.0.{number}", mappings

    def report(self, **states: Any) -> None:
        body = {"tunnel_ip": self.tunnel_ip, "bridge_mappings": self.mappings, **states}
        answer = self.service.http.put(f"/kilonova/hosts/{self.name}", json=body)
        assert answer.status_code == 204, answer.text

    def poll(self, etag: str = "", **more: Any) -> httpx.Response:
        headers = {"If-None-Match": etag} if etag else {}
        return self.service.http.get("/kilonova/topology", params={"host": self.name, **more}, headers=headers)

    def topology(self) -> dict[str, Any]:
        body: dict[str, Any] = self.poll().json()
        return body

    def network(self, network: dict[str, Any]) -> dict[str, Any] | None:
        return next((one for one in self.topology()["networks"] if one["id"] == network["id"]), None)

    def bind(self, port: dict[str, Any]) -> None:
        self.service.put(f"/ports/{port['id']}", "port", **{"binding:host_id": self.name})


@pytest.fixture
def outside(provider: Make, admin: Api) -> dict[str, Any]:
    network = provider(shared=False)
    admin.subnet(network, "203.0.113.0/24")
    return network


@pytest.fixture
def two(service: Api, outside: dict[str, Any]) -> tuple[Host, Host]:
    """Two hosts that report; only they reach the `outside` network."""
    mappings = {outside["provider:physical_network"]: "br-x"}
    pair = Host(service, 1, mappings), Host(service, 2, mappings)
    for host in pair:
        host.report()
    return pair


def routed(api: Api, outside: dict[str, Any], cidr: str = "10.1.0.0/24") -> tuple[dict[str, Any], dict[str, Any]]:
    """A router with a gateway to `outside` and an interface on the network that comes with it."""
    network = api.network()
    subnet = api.subnet(network, cidr)
    router = api.post("/routers", "router", name="r", external_gateway_info={"network_id": outside["id"]})
    answer = api.http.put(f"/routers/{router['id']}/add_router_interface", json={"subnet_id": subnet["id"]})
    assert answer.status_code == 200, answer.text
    return router, network


def test_networks_peers_and_one_dhcp_server(demo: Api, two: tuple[Host, Host]) -> None:
    one, other = two
    network = demo.network(dns_domain="cloud.example.")
    subnet = demo.subnet(network, dns_nameservers=["192.0.2.53"])
    here, there = demo.port(network, dns_name="web"), demo.port(network)
    assert one.network(network) is None
    one.bind(here)
    alone = one.network(network)
    assert alone and alone["peers"] == [] and alone["serves_dhcp"] and 1 <= alone["segment"] < 2**24
    assert alone["dns_domain"] == "cloud.example." and alone["mtu"] == 1450 and alone["external"] is False
    assert alone["subnets"][0]["dns_nameservers"] == ["192.0.2.53"] and alone["subnets"][0]["id"] == subnet["id"]
    entries = {entry["id"]: entry for entry in alone["ports"]}
    assert entries.keys() == {here["id"], there["id"]} and entries[here["id"]]["hostname"] == "web"
    other.bind(there)
    mine, theirs = one.network(network), other.network(network)
    assert mine and theirs
    assert (mine["peers"], theirs["peers"]) == ([other.tunnel_ip], [one.tunnel_ip])
    assert (mine["serves_dhcp"], theirs["serves_dhcp"], theirs["ports"]) == (True, False, [])


def test_rules_name_sets_and_sets_have_members(demo: Api, two: tuple[Host, Host]) -> None:
    host = two[0]
    network = demo.network()
    demo.subnet(network)
    port, other = demo.port(network), demo.port(network)
    host.bind(port)
    body = host.topology()
    (shown,) = [one for one in body["ports"] if one["id"] == port["id"]]
    group = f"group:{demo.default_group()['id']}"
    inward = [rule for rule in shown["rules"] if rule["direction"] == "ingress"]
    assert {(rule["ethertype"], rule["remote_set"]) for rule in inward} == {("IPv4", group), ("IPv6", group)}
    assert all(rule["remote_ips"] is None for rule in inward)
    addresses = {f"{one['fixed_ips'][0]['ip_address']}/32" for one in (port, other)}
    assert set(body["sets"][group]) == addresses


def test_routers_lie_on_one_host_that_reaches_outside(
    demo: Api, admin: Api, service: Api, two: tuple[Host, Host], outside: dict[str, Any]
) -> None:
    blind = Host(service, 9, {})
    blind.report()
    router, network = routed(demo, outside)
    holders = [host for host in (*two, blind) if any(r["id"] == router["id"] for r in host.topology()["routers"])]
    (holder,) = holders
    assert holder is not blind
    (shown,) = [one for one in holder.topology()["routers"] if one["id"] == router["id"]]
    (inner,) = shown["interfaces"]
    assert inner["network_id"] == network["id"] and inner["fixed_ips"][0]["ip_address"] == "10.1.0.1"
    assert inner["fixed_ips"][0]["prefixlen"] == 24
    gateway = shown["gateway"]
    assert gateway["network_id"] == outside["id"] and gateway["gateway_ip"] == "203.0.113.1" and gateway["enable_snat"]
    path = f"/routers/{router['id']}"
    assert demo.get(path)["router"]["status"] == "BUILD"
    holder.report(routers={router["id"]: "ACTIVE"})
    assert demo.get(path)["router"]["status"] == "ACTIVE"
    inside = admin.get("/ports", device_id=router["id"])["ports"]
    assert {port["status"] for port in inside} == {"ACTIVE"} and len(inside) == 2
    demo.put(path, "router", admin_state_up=False)
    holder.report(routers={router["id"]: "DOWN"})
    assert demo.get(path)["router"]["status"] == "ACTIVE", "it is as it should be"
    assert {port["status"] for port in admin.get("/ports", device_id=router["id"])["ports"]} == {"DOWN"}
    demo.put(path, "router", admin_state_up=True)
    assert demo.get(path)["router"]["status"] == "BUILD", "nobody has said that it is up again"
    holder.report(routers={router["id"]: "ACTIVE"})
    stranger = next(host for host in two if host is not holder)
    stranger.report(routers={router["id"]: "ERROR"})
    assert demo.get(path)["router"]["status"] == "ACTIVE", "only the host that has it speaks of it"


def test_a_new_router_s_answer_waits_for_the_host_that_carries_it(
    demo: Api, cloud: Cloud, two: tuple[Host, Host], outside: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(**more: Any) -> dict[str, Any]:
        made: dict[str, Any] = demo.post(
            "/routers", "router", external_gateway_info={"network_id": outside["id"]}, **more
        )
        return made

    def carried(then: Callable[[Host, str], object]) -> dict[str, Any]:
        """A router that `then` happens to as soon as its host hears of it, which it waits for as hosts do."""
        etags = {host.name: host.poll().headers["etag"] for host in two}
        with ThreadPoolExecutor() as pool:
            making = pool.submit(make, name="new")
            for host in two:
                (id,) = {one["id"] for one in host.poll(etags[host.name], wait=30).json()["routers"]} or {""}
                if id:
                    then(host, id)
            return making.result()

    monkeypatch.setattr(cloud.settings, "router_wait_s", 30.0)
    router = carried(lambda host, id: host.report(routers={id: "ACTIVE"}))
    assert router["status"] == "ACTIVE" and router["external_gateway_info"]["network_id"] == outside["id"]
    demo.delete(f"/routers/{router['id']}")
    router = carried(lambda host, id: demo.delete(f"/routers/{id}"))
    assert router["status"] == "BUILD", "deleted by somebody else, it was made all the same"
    monkeypatch.setattr(cloud.settings, "router_wait_s", 0.1)
    router = make()
    assert router["status"] == "BUILD", "hosts are waited for within bounds"


def test_another_host_takes_over_from_a_silent_one(
    demo: Api, two: tuple[Host, Host], outside: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    router, network = routed(demo, outside)
    port = demo.port(network)
    holder = next(host for host in two if host.topology()["routers"])
    other = next(host for host in two if host is not holder)
    holder.bind(port)
    mine = holder.network(network)
    assert mine and mine["serves_dhcp"]
    holder.report(routers={router["id"]: "ACTIVE"})
    etag = other.poll().headers["etag"]
    monkeypatch.setattr(hosts, "SILENT_AFTER", timedelta(seconds=0))
    assert demo.get(f"/routers/{router['id']}")["router"]["status"] == "DOWN"
    monkeypatch.setattr(hosts, "SILENT_AFTER", timedelta(milliseconds=400))
    while not any(one["id"] == router["id"] for one in other.topology()["routers"]):
        other.report()
    assert other.poll(etag).status_code == 200
    theirs = other.network(network)
    assert theirs and theirs["serves_dhcp"] and theirs["peers"] == [holder.tunnel_ip]
    assert holder.topology()["routers"] == []
    holder.report(routers={router["id"]: "ACTIVE"})
    monkeypatch.undo()
    other.report()
    assert demo.get(f"/routers/{router['id']}")["router"]["status"] == "BUILD"


@pytest.fixture
def present(cloud: Cloud) -> Iterator[None]:
    """What a time to come does to hosts, and to what earlier ones serve, is undone for what is tested next."""
    database = Database("network", state_dir=cloud.settings.state_dir)
    hosts, routers, networks = (kind.__table__.c for kind in (Row, Router, Network))  # type: ignore[attr-defined]
    places = ((hosts.name, hosts.seen_at), (routers.id, routers.host), (networks.id, networks.dhcp_host))
    with database.transaction() as store:
        before = [{row[0]: row[1] for row in store.execute(select(key, value))} for key, value in places]
    yield
    with database.transaction() as store:
        for (key, value), known in zip(places, before, strict=True):
            for name, was in known.items():
                store.execute(update(key.table).where(key == name).values({value.name: was}))


def test_nothing_moves_since_nobody_was_heard(
    demo: Api, two: tuple[Host, Host], outside: dict[str, Any], present: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service was away, or hung: what users ask before the first report, and that report, take nothing from the
    others. Who does not report since is silent like any other."""
    router, network = routed(demo, outside)
    holder = next(host for host in two if host.topology()["routers"])
    other = next(host for host in two if host is not holder)
    holder.bind(demo.port(network))
    holder.report(routers={router["id"]: "ACTIVE"})
    ahead = timedelta(0)

    def holds() -> bool:
        mine = holder.network(network)
        assert mine
        return bool(mine["serves_dhcp"]) and [one["id"] for one in holder.topology()["routers"]] == [router["id"]]

    monkeypatch.setattr(hosts, "SILENT_AFTER", timedelta(seconds=4))
    monkeypatch.setattr(hosts, "now", lambda: now() + ahead)
    ahead = timedelta(seconds=30)
    demo.port(network)
    assert holds(), "before the first report"
    other.report()
    assert holds(), "after it"
    for more in (2, 4, 6):
        ahead = timedelta(seconds=30 + more)
        other.report()
    assert not holds(), "it did not come back"
    assert router["id"] in [one["id"] for one in other.topology()["routers"]]


def test_floating_addresses_reach_the_routers_host(demo: Api, two: tuple[Host, Host], outside: dict[str, Any]) -> None:
    router, network = routed(demo, outside)
    port = demo.port(network)
    made = demo.post("/floatingips", "floatingip", floating_network_id=outside["id"], port_id=port["id"])
    assert (made["router_id"], made["status"]) == (router["id"], "DOWN")
    holder = next(host for host in two if host.topology()["routers"])
    (shown,) = holder.topology()["routers"]
    fixed = port["fixed_ips"][0]["ip_address"]
    assert shown["floating_ips"] == [
        {
            "id": made["id"],
            "floating_ip_address": made["floating_ip_address"],
            "fixed_ip_address": fixed,
            "port_id": port["id"],
        }
    ]
    path = f"/floatingips/{made['id']}"
    holder.report(floating_ips={made["id"]: "ACTIVE"})
    assert demo.get(path)["floatingip"]["status"] == "ACTIVE"
    free = demo.put(path, "floatingip", port_id=None)
    assert (free["port_id"], free["router_id"], free["status"]) == (None, None, "DOWN")
    assert holder.topology()["routers"][0]["floating_ips"] == []


def test_what_moves_the_revision_and_what_does_not(demo: Api, service: Api, two: tuple[Host, Host]) -> None:
    host = two[0]
    network = demo.network()
    subnet = demo.subnet(network)
    port = demo.port(network)
    host.bind(port)
    etag = host.poll().headers["etag"]
    host.report(ports={port["id"]: "ACTIVE"})
    demo.put(f"/networks/{network['id']}", "network", name="new")
    demo.http.put(f"/networks/{network['id']}/tags/blue")
    assert host.poll(etag).status_code == 304
    assert demo.get(f"/ports/{port['id']}")["port"]["status"] == "ACTIVE"
    changes: list[Callable[[], Any]] = [
        lambda: demo.put(f"/subnets/{subnet['id']}", "subnet", dns_nameservers=["192.0.2.1"]),
        lambda: demo.put(f"/subnets/{subnet['id']}", "subnet", gateway_ip=None),
        lambda: demo.put(f"/subnets/{subnet['id']}", "subnet", host_routes=[]) and demo.subnet(network, "10.2.0.0/24"),
        lambda: demo.put(f"/networks/{network['id']}", "network", mtu=1400),
        lambda: demo.put(f"/ports/{port['id']}", "port", fixed_ips=[{"ip_address": "10.1.0.77"}]),
        lambda: demo.put(f"/ports/{port['id']}", "port", fixed_ips=[]),
        lambda: host.report(bridge_mappings={}),
    ]
    for number, change in enumerate(changes):
        change()
        answer = host.poll(etag)
        assert answer.status_code == 200, f"change {number} went unseen"
        etag = answer.headers["etag"]


def test_a_change_is_told_to_a_host_that_waits(demo: Api, two: tuple[Host, Host]) -> None:
    host = two[0]
    network = demo.network()
    subnet = demo.subnet(network)
    host.bind(demo.port(network))
    etag = host.poll().headers["etag"]
    assert host.poll(etag, wait=0.1).status_code == 304
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(host.poll, etag, wait=20)
        assert demo.put(f"/networks/{network['id']}", "network", name="nothing for hosts")
        demo.put(f"/subnets/{subnet['id']}", "subnet", dns_nameservers=["192.0.2.1"])
        answer = waiting.result()
    assert answer.status_code == 200 and answer.headers["etag"] != etag
    for wrong in (-1, 31, "long"):
        assert host.poll(etag, wait=wrong).status_code == 400


async def test_news_reach_all_who_wait_from_any_thread() -> None:
    news = News()
    waiting = [news.next() for _ in range(3)]
    waiting[0].cancel()
    await asyncio.to_thread(news.tell)
    await asyncio.wait_for(asyncio.gather(*waiting[1:]), 10)
    await asyncio.sleep(0)
    assert not news._waiting


def test_only_services_report_and_ask(demo: Api, two: tuple[Host, Host]) -> None:
    name = two[0].name
    assert demo.http.put(f"/kilonova/hosts/{name}", json={}).status_code == 403
    assert demo.http.get("/kilonova/topology", params={"host": name}).status_code == 403
    service = two[0].service
    for wrong in ({"colour": 1}, {"routers": {"x": "FINE"}}, {"tunnel_ip": 5}):
        assert service.http.put(f"/kilonova/hosts/{name}", json=wrong).status_code == 400
