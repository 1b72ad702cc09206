"""Every change of their guests' networks that tenants make, all at the same time, and whether it holds afterwards."""

import json
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any

from keystoneauth1.exceptions import ClientException
from openstack.exceptions import ConflictException, SDKException

from tests.e2e import networks
from tests.e2e.cloud import Cloud, wait_for
from tests.e2e.modes import PREFIXES, Modes
from tests.e2e.networks import INNER, INNER6, METADATA, NAME, OUTSIDE, PAIR, PAIR6, Tenant, World

ASIDE, ROUTE = "10.78.0", "10.88.0.0/16"
FORWARDED = {False: 2222, True: 2223}


class Changes:
    """Red's floating address is another one, a rule lets pings in, pairs are allowed, its router has a route, its guest
    has a second card, and metadata that say so; of blue, which shares an address, another port is forwarded."""

    def __init__(self, cloud: Cloud, world: World, both: tuple[Tenant, Tenant], modes: Modes) -> None:
        self.cloud, self.world, (self.red, self.blue) = cloud, world, both
        network = self.red.sdk.network
        self.former = self.red.floating
        self.new = network.create_ip(floating_network_id=cloud.network)
        self.aside = network.create_network(name="aside")
        lonely = {"gateway_ip": None, "dns_nameservers": [OUTSIDE]}
        network.create_subnet(network_id=self.aside.id, ip_version=4, cidr=f"{ASIDE}.0/24", **lonely)
        self.card = network.create_port(network_id=self.aside.id)
        self.pings = {
            "out by address": OUTSIDE,
            "out by name": NAME,
            "router by IPv6": f"-6 -I {self.red.address6} {INNER6}1",
            **{mode: f"-6 -I {modes.address(mode, 'red')} {prefix}1" for mode, prefix in PREFIXES.items()},
            "pair": f"-I {PAIR} {INNER}.1",
            "IPv6 pair": f"-6 -I {PAIR6} {INNER6}1",
        }
        self.red.inside(f"sudo ip addr add {PAIR}/24 dev eth0; sudo ip addr add {PAIR6}/64 dev eth0", world)

    def make(self, on: bool, meanwhile: Callable[[], object]) -> None:
        """All of them, or all taken back, each asked for until it is answered; `meanwhile` once the first one was."""
        changes = (self._address, self._rule, self._pairs, self._forwarded, self._route, self._second_card, self._told)
        with ThreadPoolExecutor(len(changes)) as pool:
            asked = [pool.submit(_until_answered, change, on) for change in changes]
            wait(asked, return_when=FIRST_COMPLETED)
            meanwhile()
        for each in asked:
            each.result()
        self.red.floating = self.new if on else self.former

    def _address(self, on: bool) -> None:
        network, (one, other) = self.red.sdk.network, (self.new, self.former) if on else (self.former, self.new)
        network.update_ip(other, port_id=None)
        network.update_ip(one, port_id=self.red.port.id)

    def _rule(self, on: bool) -> None:
        network = self.red.sdk.network
        if on:
            self.red.allow(protocol="icmp")
        for rule in [] if on else list(network.security_group_rules(security_group_id=self.red.group.id)):
            if rule.protocol == "icmp":
                network.delete_security_group_rule(rule)

    def _pairs(self, on: bool) -> None:
        self.red.pairs(*([{"ip_address": PAIR}, {"ip_address": PAIR6}] if on else []))

    def _forwarded(self, on: bool) -> None:
        network, shared = self.blue.sdk.network, self.blue.shared
        (forwarding,) = network.floating_ip_port_forwardings(shared)
        network.update_floating_ip_port_forwarding(shared, forwarding, external_port=FORWARDED[on])

    def _route(self, on: bool) -> None:
        routes = [{"destination": ROUTE, "nexthop": f"{INNER}.10"}] if on else []
        self.red.sdk.network.update_router(self.red.router, routes=routes)

    def _second_card(self, on: bool) -> None:
        compute, server = self.red.sdk.compute, self.red.server_id
        if on:
            compute.create_server_interface(server, port_id=self.card.id)
        else:
            compute.delete_server_interface(self.card.id, server=server)

    def _told(self, on: bool) -> None:
        self.red.sdk.compute.set_server_metadata(self.red.server_id, changed=str(on))

    def hold(self, on: bool, seconds: float = 90) -> None:
        """Wait until everything is as it was asked for, and what nobody changed as it was."""
        for look, wanted in ((self._outside, self._wanted_outside(on)), (self._inside, self._wanted_inside(on))):
            end = time.monotonic() + seconds
            while (found := look()) != wanted:
                assert time.monotonic() < end, {what: found[what] for what in found if found[what] != wanted[what]}
                time.sleep(0.3)
        said = self.world.ssh(self.blue.shared.floating_ip_address, "hostname", port=FORWARDED[on], seconds=30)
        assert said == "blue\n"

    def _wanted_outside(self, on: bool) -> dict[str, object]:
        addresses: dict[str, object] = {"former address": not on, "new address": on, "pings": on}
        return {**addresses, "former port": not on, "new port": on, "route": int(on)}

    def _outside(self) -> dict[str, object]:
        shared = self.blue.shared.floating_ip_address
        return {
            "former address": self.world.reaches(self.former.floating_ip_address, 22),
            "new address": self.world.reaches(self.new.floating_ip_address, 22),
            "pings": self.world.pings(self.red.address),
            "former port": self.world.reaches(shared, FORWARDED[False]),
            "new port": self.world.reaches(shared, FORWARDED[True]),
            "route": networks.routes(self.cloud, self.red).count(ROUTE),
        }

    def _wanted_inside(self, on: bool) -> dict[str, object]:
        pings: dict[str, object] = dict.fromkeys(self.pings, True)
        return {**pings, "pair": on, "IPv6 pair": on, "cards": 1 + on, "metadata": str(on)}

    def _inside(self) -> dict[str, object]:
        lines = [
            f"ping -c 1 -W 1 {target} >/dev/null 2>&1 && echo True || echo False" for target in self.pings.values()
        ]
        lines += ["ip -4 -o addr show scope global | grep -v secondary | grep -c eth"]
        lines += [f"wget -qO- {METADATA}/openstack/latest/meta_data.json"]
        *pings, cards, document = self.red.inside("\n".join(lines), self.world).split("\n", len(self.pings) + 1)
        told = json.loads(document)["meta"].get("changed") if document.startswith("{") else document
        answered: dict[str, object] = {what: said == "True" for what, said in zip(self.pings, pings, strict=True)}
        return {**answered, "cards": int(cards), "metadata": told}

    def clear(self) -> None:
        network = self.red.sdk.network
        network.delete_ip(self.new)
        network.delete_port(self.card)
        network.delete_network(self.aside)


def _until_answered(change: Callable[[bool], None], on: bool, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            change(on)
            return
        except ConflictException:
            return  # an earlier request got through, and only its answer was lost
        except (SDKException, ClientException) as error:
            if time.monotonic() > end or getattr(error, "status_code", None) in (400, 403, 404):
                raise
            time.sleep(0.2)


def processes(cloud: Cloud) -> dict[str, list[int]]:
    """Process ids by the supervisor's names, and under "started by …" what those started that goes on without them:
    DHCP servers, advertisers, ways out. Guests are none of the cloud's processes."""
    return {**{name: [unit["pid"]] for name, unit in units(cloud).items()}, **cloud.started()}


def units(cloud: Cloud) -> dict[str, Any]:
    found: dict[str, Any] = wait_for(lambda: _ready(cloud), 60, "the supervisor has started everything again")
    return found


def _ready(cloud: Cloud) -> dict[str, Any]:
    found: dict[str, Any] = cloud.supervised()
    return found if found and all(unit["state"] == "ready" for unit in found.values()) else {}
