"""A port of a server in the network service, and what the server's record keeps of it."""

from typing import Any

import httpx

from tests.compute.conftest import HTTP, Api, Cloud

Json = dict[str, Any]


class Network:
    """The network service, as `who` asks it."""

    def __init__(self, cloud: Cloud, who: Api) -> None:
        self._http = httpx.Client(
            base_url=cloud.settings.url("network", "/v2.0"), headers={"X-Auth-Token": who.token}, **HTTP
        )

    def make(self, path: str, member: str, **attributes: Any) -> Json:
        answer = self._http.post(path, json={member: attributes})
        assert answer.status_code == 201, answer.text
        return dict(answer.json()[member])

    def put(self, path: str, body: Json) -> Json:
        answer = self._http.put(path, json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def delete(self, path: str) -> None:
        answer = self._http.delete(path)
        assert answer.status_code == 204, answer.text


def card(cloud: Cloud, owner: Api, server_id: str, *addresses: str) -> Json:
    """A port of the owner's with these addresses (192.168.56.0/24, fd00::/64) on a network `provider` of its own."""
    mine = Network(cloud, owner)
    network = mine.make("/networks", "network", name="provider")
    on = {"network_id": network["id"]}
    mine.make("/subnets", "subnet", ip_version=4, cidr="192.168.56.0/24", **on)
    mine.make("/subnets", "subnet", ip_version=6, cidr="fd00::/64", gateway_ip="fd00::ffff", **on)
    fixed = [{"ip_address": address} for address in addresses]
    port = mine.make("/ports", "port", device_id=server_id, fixed_ips=fixed, **on)
    about = {"port_id": port["id"], "network_id": network["id"], "label": "provider", "mac": port["mac_address"]}
    return about | {"fixed_ips": list(addresses)}
