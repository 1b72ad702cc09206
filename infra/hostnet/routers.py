"""Routers: a namespace each, with a pair to the bridge of every network that it has a port on."""

import contextlib
import ipaddress
import socket
import struct

from infra import logs
from infra.hostnet import advertise, netns, router_rules, spaces
from infra.hostnet.dhcp import Dnsmasq
from infra.hostnet.links import Link
from infra.hostnet.loader import Loader
from infra.hostnet.models import Damage, is_v4
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.served import Listening
from infra.hostnet.spaces import METADATA, SYSCTLS, Space, Veth
from infra.hostnet.store import RouterRecord, Store
from infra.hostnet.tables import Table
from infra.hostnet.topology import Router, RouterPort

log = logs.get("hostnet")
FORWARDING = {
    **SYSCTLS,
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/forwarding": "1",
    "ipv4/conf/all/arp_announce": "2",
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
}


def device(port: RouterPort, *, outside: bool) -> str:
    """Name of both ends of the port's pair, as Neutron's agent names them."""
    return f"{'qg' if outside else 'qr'}-{port.port_id[:11]}"


def floating_addresses(router: Router) -> set[str]:
    return {
        *(f.floating_ip_address for f in router.floating_ips),
        *(f.floating_ip_address for f in router.port_forwardings),
    }


def space_of(record: RouterRecord, name: str, mtus: dict[str, int]) -> Space:
    router = record.router
    veths: list[Veth] = []
    for port in router.ports:
        outside = port is router.gateway
        addresses = {fixed.cidr for fixed in port.fixed_ips}
        if outside:
            addresses |= {f"{a}/{32 if is_v4(a) else 128}" for a in floating_addresses(router)} - addresses
        if port.admin_state_up:
            link, mtu = device(port, outside=outside), mtus.get(port.network_id, 1500)
            bridge = record.bridges[port.network_id]
            veths.append(Veth(bridge, link, link, port.mac_address, mtu, frozenset(addresses)))
    return Space(
        name,
        tuple(veths),
        frozenset(routes_of(router)),
        dict(FORWARDING),
        frozenset({f"{METADATA}/32"}),
        ("qr-", "qg-"),
    )


def routes_of(router: Router) -> set[tuple[str, str]]:
    """The default route by the gateway, and extra routes whose next hop is on a network of the router."""
    wanted = {(route.destination, route.nexthop) for route in router.routes}
    gateway = router.gateway
    if gateway and gateway.gateway_ip:
        wanted.add(("default", gateway.gateway_ip))
    found = {(where, f"via {hop} dev {name}") for where, hop in wanted if (name := _on_link(router, hop))}
    if gateway and gateway.gateway_ipv6 and (name := _on_link(router, gateway.gateway_ipv6)):
        found.add(("::/0", f"via {gateway.gateway_ipv6} dev {name}"))
    return found


def _on_link(router: Router, hop: str) -> str:
    """The router's interface that the address is a neighbour on; '' when there is none."""
    address = ipaddress.ip_address(hop)
    for port in router.ports:
        for fixed in port.fixed_ips:
            if port.admin_state_up and address in ipaddress.ip_network(fixed.cidr, strict=False):
                return device(port, outside=port is router.gateway)
    return ""


class Routers:
    """Callers hold the lock of the router."""

    def __init__(self, store: Store, host: str) -> None:
        self._store, self._host = store, host
        self._loaders: dict[str, Loader] = {}

    def _rules(self, router_id: str) -> Loader:
        if router_id not in self._loaders:
            marker = self._store.run / "routers" / f"{router_id}.loaded"
            self._loaders[router_id] = Loader(self._store.space_name("router", router_id), marker)
        return self._loaders[router_id]

    def _space(self, record: RouterRecord) -> Space:
        mtus = {i: r.network.mtu for i, r in self._store.networks().items()}
        return space_of(record, self._store.space_name("router", record.router.id), mtus)

    def _advertised(self, router: Router) -> Listening | None:
        networks = {i: r.network for i, r in self._store.networks().items()}
        names = {port.port_id: device(port, outside=False) for port in router.interfaces}
        return advertise.of_router(router, networks, names.__getitem__)

    def converge(self, record: RouterRecord, before: Router | None, found: dict[str, Link]) -> None:
        """Bring one router in line with `record`; only what differs is touched, so that connections live on."""
        router = record.router
        if not router.admin_state_up:
            self.remove(router.id)
            return
        space = self._space(record)
        (self._store.run / "routers").mkdir(parents=True, exist_ok=True)
        (self._store.run / "routers" / f"{router.id}.made").touch()
        if not netns.path(space.name).exists():
            self._rules(router.id).forget()
        done = spaces.converge(space, self._host, found)
        self._rules(router.id).load([self._table(router)])
        Dnsmasq(self._store, router.id, "ra").converge(self._advertised(router))
        if before:
            self._cut(space.name, floating_addresses(before) - floating_addresses(router))
            self._cut(space.name, _moved(before, router))
        announced = [line.split()[2].partition("/")[0] for line in done if line.startswith("address add")]
        for veth in space.veths:
            held = {address.partition("/")[0] for address in veth.addresses}
            announce(space.name, veth.inner, veth.mac, [a for a in announced if a in held])

    @staticmethod
    def _cut(name: str, addresses: set[str]) -> None:
        """End the connections that an address which is not floating here any more had been translated for."""
        for address in sorted(filter(is_v4, addresses)):
            for way in ("--orig-dst", "--reply-dst"):
                with contextlib.suppress(HostNetworkError):  # there were none
                    netns.run(name, ["conntrack", "-D", way, address])

    def is_right(self, record: RouterRecord, found: dict[str, Link]) -> bool:
        name = self._store.space_name("router", record.router.id)
        if not record.router.admin_state_up:
            return not netns.path(name).exists()
        if not netns.path(name).exists():
            return False
        if self._damage(record.router):
            self._rules(record.router.id).forget()
            return False
        return spaces.is_right(self._space(record), found) and Dnsmasq(self._store, record.router.id, "ra").is_right(
            self._advertised(record.router)
        )

    def damage(self) -> dict[str, list[Damage]]:
        """Router id → what somebody else changed of the rules in its namespace, of namespaces that exist."""
        wanted = [r.router for r in self._store.routers().values() if r.router.admin_state_up]
        there = [router for router in wanted if netns.path(self._store.space_name("router", router.id)).exists()]
        return {router.id: self._damage(router) for router in there}

    def _damage(self, router: Router) -> list[Damage]:
        return self._rules(router.id).damage([self._table(router)])

    @staticmethod
    def _table(router: Router) -> Table:
        return router_rules.table(router, device(router.gateway, outside=True) if router.gateway else "")

    def made(self) -> set[str]:
        """Ids of routers whose namespace was made here."""
        return {file.stem for file in self._store.run.glob("routers/*.made")}

    def end_processes(self, router_id: str) -> None:
        Dnsmasq(self._store, router_id, "ra").stop()

    def remove(self, router_id: str) -> None:
        """Remove the namespace of a router; absent is success."""
        name = self._store.space_name("router", router_id)
        self.end_processes(router_id)
        if netns.path(name).exists():
            inside, _ = spaces.observe(name)
            spaces.remove(name, [link for link in inside if link.startswith(("qr-", "qg-"))], self._host)
        self._rules(router_id).forget()
        del self._loaders[router_id]
        (self._store.run / "routers" / f"{router_id}.made").unlink(missing_ok=True)


def _moved(before: Router, after: Router) -> set[str]:
    """Floating addresses that lead elsewhere than they did."""
    new = {f.floating_ip_address: f.fixed_ip_address for f in after.floating_ips}
    return {a for f in before.floating_ips if new.get(a := f.floating_ip_address, a) not in (a, f.fixed_ip_address)}


def announce(name: str, interface: str, mac: str, addresses: list[str]) -> None:
    """Gratuitous ARP: who holds the address in a cache with another MAC address sends here from now on."""
    hardware = bytes.fromhex(mac.replace(":", ""))
    frames = [
        b"\xff" * 6 + hardware + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1)
        + hardware + socket.inet_aton(address) + b"\0" * 6 + socket.inet_aton(address)
        for address in addresses
        if is_v4(address)
    ]  # fmt: skip

    def send() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as packets:
            packets.bind((interface, 0))
            for frame in frames:
                packets.send(frame)

    if frames:
        try:
            netns.call(name, send)
        except OSError as error:  # neighbours find out when their entries age
            log.info("addresses not announced", router=name, reason=str(error))
