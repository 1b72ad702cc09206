"""Nothing twice and no quota overrun: two server processes on one store, all at once, on both databases."""

import os
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.forked import Forked
from tests.network.conftest import HTTP, Api, Cloud
from tests.ports import free_port
from tests.postgres import postgres


@dataclass
class Race:
    """Two server processes on one store, `urls` their base URLs."""

    urls: list[str]

    def user(self, api: Api) -> Api:
        """The same user at the first of the processes."""
        return Api(self.urls[0], api.token, api.project_id)

    def at_once(
        self, api: Api, bodies: list[dict[str, Any]], path: str = "ports", member: str = "port"
    ) -> list[httpx.Response]:
        """POSTs every body to the path, alternating between the processes, 32 at a time."""
        limits = httpx.Limits(max_connections=32)
        urls = [f"{self.urls[number % 2]}/v2.0/{path}" for number in range(len(bodies))]
        with (
            httpx.Client(headers={"X-Auth-Token": api.token}, limits=limits, **HTTP) as client,
            ThreadPoolExecutor(32) as pool,
        ):
            return list(pool.map(lambda url, body: client.post(url, json={member: body}), urls, bodies))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def race(cloud: Cloud, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Race]:
    state_dir = tmp_path_factory.mktemp("race")
    environment = {
        **os.environ,
        "KILONOVA_STATE_DIR": str(state_dir),
        "KILONOVA_PORT_OFFSET": str(cloud.settings.port_offset),
    }
    with ExitStack() as stack:
        if request.param == "postgresql":
            environment["KILONOVA_DATABASE_URL"] = stack.enter_context(postgres(free_port())).databases()
        ports = [free_port(), free_port()]
        for port in ports:
            process = Forked(["tests.network.serve", str(port)], environment, state_dir / f"{port}.log")
            stack.callback(process.wait, 10)
            stack.callback(process.terminate)
        for port in ports:
            _wait(f"http://127.0.0.1:{port}/")
        yield Race([f"http://127.0.0.1:{port}" for port in ports])


def _wait(url: str) -> None:
    end = time.monotonic() + 120
    while True:
        try:
            httpx.get(url, **HTTP)
            return
        except httpx.TransportError:
            assert time.monotonic() < end, f"{url} did not answer"
            time.sleep(0.05)


def addresses(answers: list[httpx.Response]) -> list[str]:
    made = [answer.json()["port"] for answer in answers if answer.status_code == 201]
    return [fixed["ip_address"] for port in made for fixed in port["fixed_ips"]]


def test_200_ports_get_200_addresses(demo: Api, race: Race) -> None:
    demo = race.user(demo)
    network = demo.network()
    demo.subnet(network, "10.1.0.0/24")
    answers = race.at_once(demo, [{"network_id": network["id"]}] * 200)
    assert Counter(answer.status_code for answer in answers) == {201: 200}
    assert len(set(addresses(answers))) == 200
    assert len({answer.json()["port"]["mac_address"] for answer in answers}) == 200
    assert len(demo.get("/security-groups")["security_groups"]) == 1, "one default group, whoever made it"


def test_the_last_address_is_given_once(demo: Api, race: Race) -> None:
    demo = race.user(demo)
    network = demo.network()
    demo.subnet(network, "10.1.0.0/26")
    answers = race.at_once(demo, [{"network_id": network["id"]}] * 100)
    assert Counter(answer.status_code for answer in answers) == {201: 61, 409: 39}
    assert len(set(addresses(answers))) == 61
    refusals = {answer.json()["NeutronError"]["type"] for answer in answers if answer.status_code == 409}
    assert refusals == {"IpAddressGenerationFailure"}
    assert len(demo.get("/ports", network_id=network["id"])["ports"]) == 61


def test_one_address_one_id_one_quota_place(admin: Api, service: Api, demo: Api, race: Race) -> None:
    admin, demo = race.user(admin), race.user(demo)
    network = demo.network()
    demo.subnet(network, "10.1.0.0/24")
    same = {"network_id": network["id"], "fixed_ips": [{"ip_address": "10.1.0.99"}]}
    answers = race.at_once(demo, [same] * 20)
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 19}
    chosen = {"network_id": network["id"], "project_id": demo.project_id, "id": str(uuid.uuid4())}
    answers = race.at_once(service, [chosen] * 20)
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 19}
    admin.put(f"/quotas/{demo.project_id}", "quota", port=7)
    answers = race.at_once(demo, [{"network_id": network["id"]}] * 20)
    assert Counter(answer.status_code for answer in answers) == {201: 5, 409: 15}


def test_a_network_does_not_vanish_under_a_new_port(demo: Api, race: Race) -> None:
    """Either the port exists on the network, or the network is gone and there is no port."""
    demo = race.user(demo)
    for _ in range(5):
        network = demo.network()
        demo.subnet(network)
        with ThreadPoolExecutor(2) as pool:
            made = pool.submit(race.at_once, demo, [{"network_id": network["id"]}] * 4)
            gone = pool.submit(demo.http.delete, f"/networks/{network['id']}")
            created = sum(answer.status_code == 201 for answer in made.result())
        left = demo.get("/ports", network_id=network["id"])["ports"]
        assert len(left) == created
        assert gone.result().status_code == (409 if created else 204)


def made(answers: list[httpx.Response], member: str) -> list[dict[str, Any]]:
    return [answer.json()[member] for answer in answers if answer.status_code == 201]


def test_200_networks_get_as_many_as_the_quota_and_a_segment_each(admin: Api, demo: Api, race: Race) -> None:
    demo, admin = race.user(demo), race.user(admin)
    answers = race.at_once(demo, [{"name": str(number)} for number in range(200)], "networks", "network")
    assert Counter(answer.status_code for answer in answers) == {201: 100, 409: 100}
    refusals = {answer.json()["NeutronError"]["type"] for answer in answers if answer.status_code == 409}
    assert refusals == {"OverQuota"}
    shown = admin.get("/networks", project_id=demo.project_id)["networks"]
    assert len({network["provider:segmentation_id"] for network in shown}) == len(shown) == 100


def test_200_floating_addresses_are_as_many_as_the_quota(admin: Api, demo: Api, race: Race) -> None:
    admin, demo = race.user(admin), race.user(demo)
    physical = {"provider:network_type": "flat", "provider:physical_network": f"phys-{uuid.uuid4().hex[:8]}"}
    outside = admin.network(**{"router:external": True}, **physical)
    admin.subnet(outside, "203.0.113.0/24")
    bodies = [{"floating_network_id": outside["id"]}] * 200
    answers = race.at_once(demo, bodies, "floatingips", "floatingip")
    assert Counter(answer.status_code for answer in answers) == {201: 50, 409: 150}
    assert len({one["floating_ip_address"] for one in made(answers, "floatingip")}) == 50


def test_a_pools_prefixes_are_given_once(demo: Api, race: Race) -> None:
    demo = race.user(demo)
    network = demo.network()
    pool = {"name": "p", "prefixes": ["10.64.0.0/21"], "default_prefixlen": 26}
    source = demo.post("/subnetpools", "subnetpool", **pool)
    body = {"network_id": network["id"], "ip_version": 4, "subnetpool_id": source["id"]}
    answers = race.at_once(demo, [body] * 60, "subnets", "subnet")
    assert Counter(answer.status_code for answer in answers) == {201: 32, 409: 28}
    assert len({one["cidr"] for one in made(answers, "subnet")}) == 32


def test_one_default_group_whoever_asks_first(demo: Api, race: Race) -> None:
    demo = race.user(demo)
    answers = race.at_once(demo, [{"name": f"g{number}"} for number in range(40)], "security-groups", "security_group")
    assert Counter(answer.status_code for answer in answers) == {201: 9, 409: 31}
    names = Counter(group["name"] for group in demo.get("/security-groups")["security_groups"])
    assert names["default"] == 1 and sum(names.values()) == 10


def test_a_router_has_each_subnet_once(demo: Api, race: Race) -> None:
    """On PostgreSQL no second subnet came to a router: it cannot tell whether two rows with JSON are the same."""
    demo = race.user(demo)
    subnets = [demo.subnet(demo.network(), f"10.1.{number}.0/24") for number in range(2)]
    add = f"/routers/{demo.post('/routers', 'router', name='r')['id']}/add_router_interface"
    wanted = [{"subnet_id": subnet["id"]} for subnet in subnets]
    assert [demo.http.put(add, json=body).status_code for body in wanted] == [200, 200]
    again = [demo.http.put(add, json=body) for body in wanted]
    assert [answer.status_code for answer in again] == [400, 400]
    assert all("already has a port on subnet" in answer.text for answer in again)
