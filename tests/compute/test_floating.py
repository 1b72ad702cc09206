"""A server's addresses list the floating ones that lead to its ports, as the network service has them."""

import time
from typing import Any

import pytest

from api.compute.floating import LOOK_S
from infra.host.services.rest import Service
from tests.compute.cards import Network
from tests.compute.conftest import Api, Cloud

Json = dict[str, Any]


@pytest.fixture(scope="module")
def led(cloud: Cloud, admin: Api, demo: Api) -> tuple[str, Json, Json]:
    """(server, its port, a floating address of nothing) of a project with a way out."""
    outer, mine = Network(cloud, admin), Network(cloud, demo)
    outside = outer.make("/networks", "network", name="outside", **{"router:external": True})
    outer.make("/subnets", "subnet", network_id=outside["id"], ip_version=4, cidr="203.0.113.0/24")
    inside = mine.make("/networks", "network", name="inside")
    subnet = mine.make("/subnets", "subnet", network_id=inside["id"], ip_version=4, cidr="10.60.0.0/24")
    router = mine.make("/routers", "router", external_gateway_info={"network_id": outside["id"]})
    mine.put(f"/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    port = mine.make("/ports", "port", network_id=inside["id"])
    fixed = [ip["ip_address"] for ip in port["fixed_ips"]]
    of_server = {"port_id": port["id"], "network_id": inside["id"], "label": "inside", "mac": port["mac_address"]}
    server = cloud.server(demo, networks=[of_server | {"fixed_ips": fixed}])
    mine.put(f"/ports/{port['id']}", {"port": {"device_id": server}})
    return server, port, mine.make("/floatingips", "floatingip", floating_network_id=outside["id"])


def addresses(demo: Api, server: str) -> list[tuple[str, str]]:
    (network,) = demo.get(f"/servers/{server}")["server"]["addresses"].values()
    assert len({each["OS-EXT-IPS-MAC:mac_addr"] for each in network}) == 1
    return [(each["addr"], each["OS-EXT-IPS:type"]) for each in network]


def test_one_that_leads_to_the_server_is_shown_and_goes(
    cloud: Cloud, demo: Api, led: tuple[str, Json, Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, port, floating = led
    fixed = (port["fixed_ips"][0]["ip_address"], "fixed")
    moving, path = Network(cloud, demo), f"/floatingips/{floating['id']}"
    assert addresses(demo, server) == [fixed]
    moving.put(path, {"floatingip": {"port_id": port["id"]}})
    time.sleep(LOOK_S)
    both = [fixed, (floating["floating_ip_address"], "floating")]
    assert addresses(demo, server) == both
    listed = {each["id"]: each["addresses"] for each in demo.get("/servers/detail")["servers"]}
    assert [each["addr"] for each in listed[server]["inside"]] == [address for address, _ in both]
    only = [{"version": 4, "addr": address} for address, _ in both]
    assert demo.get(f"/servers/{server}/ips/inside") == {"inside": only}

    nobody, refusing = "http://127.0.0.1:9/v2.0/floatingips", cloud.settings.url("network", "/v2.0/no-such-things")
    for url in (nobody, refusing):  # what it said last stays
        with monkeypatch.context() as away:
            away.setattr("infra.host.services.rest.Service.url", lambda *_, url=url: url)
            time.sleep(LOOK_S)
            assert addresses(demo, server) == both
    moving.put(path, {"floatingip": {"port_id": None}})
    time.sleep(LOOK_S)
    assert addresses(demo, server) == [fixed]


def test_a_server_without_addresses_asks_for_none(cloud: Cloud, demo: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mechanism: `floating_of` looks when an address is rendered. Each look is a request to the network service."""
    asked: list[str] = []
    pages = Service.pages

    def counted(self: Service, path: str, *args: Any, **more: Any) -> list[Json]:
        asked.append(path)
        return list(pages(self, path, *args, **more))

    monkeypatch.setattr(Service, "pages", counted)
    bare = cloud.server(demo, networks=[])
    time.sleep(LOOK_S)
    assert demo.get(f"/servers/{bare}")["server"]["addresses"] == {}
    assert demo.get(f"/servers/{bare}/ips") == {"addresses": {}}
    assert asked == []
