"""HostNetwork: what a compute worker calls to plug, filter, repair, list and remove its guests' networking.

The port files say what is wanted; every call writes its intent there first and then brings bridges, dnsmasq and
nftables in line with them. So each call may be repeated, or finished by the next `sync`, after a crash at any point.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence

from infra import logs
from infra.hostnet import dhcp, inventory, links, netns, reporting, strays
from infra.hostnet.dhcp import Dnsmasq
from infra.hostnet.firewall import Firewall
from infra.hostnet.home import Home
from infra.hostnet.links import Link
from infra.hostnet.models import Bandwidth, HostNetInventory, PortFilter, PortPlug, tap_name
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.plane import Binding, Report
from infra.hostnet.routers import Routers
from infra.hostnet.segment import Segments
from infra.hostnet.shaping import Shaper
from infra.hostnet.store import NetworkRecord, PlugRecord, RouterRecord, Store
from infra.hostnet.topology import FloatingIp, Network, PortForwarding, Router
from infra.hostnet.trunks import Trunks
from infra.settings import Settings

log = logs.get("hostnet")


class HostNetwork:
    """Guest networking in the namespace `settings.netns`, or on the host itself. Needs root.

    Thread-safe, and safe beside other processes that use the same state directory. Every method raises
    HostNetworkError with a reason when the host cannot do it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._netns = settings.netns
        self._store = Store(settings)
        self._segments = Segments(settings, self._store)
        self._firewall = Firewall(self._store)
        self._routers = Routers(self._store, settings.netns)
        self._failed: set[str] = set()  # ids of networks and routers that could not be had, which are tried again
        self._shaper = Shaper(self._store)
        self._home = Home(self._store, self._firewall)
        self._trunks = Trunks(self._store, self._segments, self._firewall)

    def ensure_namespace(self) -> None:
        self._home.ensure()

    def bind(self, port: PortPlug) -> Binding:
        bridge = port.bridge_name or self._segments.bridge_of(port.network_id, port.physical_network)
        return Binding(bridge=bridge, tap=port.tap, mtu=port.mtu)

    def plug(self, port: PortPlug) -> None:
        """Prepare bridge, gateway, DHCP reservation and default-deny filters for a port, before its guest starts.

        The tap itself (`port.tap`) is made by libvirt. Rules beyond DHCP come from `apply_filters`, before or after.
        """
        self.ensure_namespace()
        before = self._store.port(port.port_id)
        if before and before.port.instance_id == port.instance_id:
            port = port.model_copy(update={"limits": before.port.limits})
        record = PlugRecord(netns=self._netns, bridge=self.bind(port).bridge, port=port)
        with self._store.lock(record.bridge):
            self._store.put_port(record)
            self._segments.converge(record.bridge)
        if before and before.bridge != record.bridge:
            with self._store.lock(before.bridge):
                self._segments.converge(before.bridge)
        self._firewall.converge()
        self.carry_trunks()

    def unplug(self, port_id: str, instance_id: str | None = None) -> None:
        """Remove all that `plug` made for the port, its tap and its subports too; with the last port of a network, the
        network's.

        With `instance_id` only if that instance plugged it: the port may be another's by now, and so may be a tap
        without a port file."""
        record = self._store.port(port_id)
        if not _is_of(record, instance_id):
            return
        if not self._home.is_there():
            for one in self._store.own_ports():
                if port_id in (one.port.port_id, one.port.below and one.port.below.parent):
                    self._store.drop_port(one.port.port_id)
            return
        if record:
            with self._store.lock(record.bridge):
                if not _is_of(self._store.port(port_id), instance_id):
                    return
                links.delete(self._netns, tap_name(port_id))
                self._store.drop_port(port_id)
                self._segments.converge(record.bridge)
        elif instance_id:
            self._repair_bridges(links.snapshot(self._netns))
        else:
            links.delete(self._netns, tap_name(port_id))
            self._repair_bridges(links.snapshot(self._netns))  # what an earlier call may have left when it was killed
        self._firewall.converge()
        self.carry_trunks()

    def carry_trunks(self) -> bool:
        changed = self._home.is_there() and self._trunks.converge()
        if changed:
            self._shaper.shape(self._firewall.guests())
        return changed

    def unable(self) -> str:
        return self._trunks.unable()

    def tapped(self, instance_id: str) -> dict[str, str]:
        self.carry_trunks()
        mine = [r.port for r in self._store.own_ports() if r.port.instance_id == instance_id]
        below = self._trunks.carried(links.snapshot(self._netns)) if any(port.below for port in mine) else {}
        return {port.port_id: below.get(port.port_id, "DOWN") if port.below else "ACTIVE" for port in mine}

    def limit(self, instance_id: str, bandwidth: Bandwidth | None) -> None:
        if self._shaper.limit(instance_id, bandwidth):
            self._firewall.converge()
            self._shaper.shape(self._firewall.guests())

    def ensure_network(self, network: Network) -> None:
        """Take over what the network service says of the network: DHCP entries and options, peers, MTU."""
        bridge = self._segments.bridge_of(network.id, network.physical_network)
        before = self._store.own_network(network.id)
        news = self._store.put_network(NetworkRecord(netns=self._netns, bridge=bridge, network=network))
        if not news and network.id not in self._failed:
            return  # what a crash left undone, `sync` does
        with self._attempt(network.id):
            if before and before.bridge != bridge:
                self._on(before.bridge)
            if network.serves_dhcp or bridge in self._segments.names():
                self.ensure_namespace()
                self._on(bridge)

    @contextlib.contextmanager
    def _attempt(self, identifier: str) -> Iterator[None]:
        self._failed.add(identifier)
        yield
        self._failed.discard(identifier)

    def ensure_router(self, router: Router) -> None:
        known = self._store.networks()
        missing = [p.network_id for p in router.ports if p.network_id not in known]
        if missing:
            raise HostNetworkError(f"router {router.id} has a port on network {missing[0]}, which was not told")
        bridges = {p.network_id: known[p.network_id].bridge for p in router.ports}
        before = self._store.own_router(router.id)
        record = RouterRecord(netns=self._netns, bridges=bridges, router=router)
        if not self._store.put_router(record) and router.id not in self._failed:
            return
        with self._attempt(router.id):
            self.ensure_namespace()
            for bridge in sorted({*bridges.values(), *(before.bridges.values() if before else ())}):
                self._on(bridge)
            with self._store.lock(router.id):
                self._routers.converge(record, before.router if before else None, links.snapshot(self._netns))

    def ensure_floating(
        self, router_id: str, floating: Sequence[FloatingIp], forwardings: Sequence[PortForwarding]
    ) -> None:
        record = self._store.own_router(router_id)
        if record is None:
            raise HostNetworkError(f"router {router_id} is not served here")
        change = {"floating_ips": list(floating), "port_forwardings": list(forwardings)}
        self.ensure_router(record.router.model_copy(update=change))

    def keep_only(self, networks: Collection[str], routers: Collection[str]) -> None:
        for router_id in set(self._store.own_routers()) - set(routers):
            gone = self._store.own_router(router_id)
            self._store.drop_router(router_id)
            self._failed.discard(router_id)
            self._drop_router(router_id, sorted(set(gone.bridges.values())) if gone else [])
        for network_id in set(self._store.own_networks()) - set(networks):
            before = self._store.own_network(network_id)
            self._store.drop_network(network_id)
            if before:
                self._on(before.bridge)

    def _drop_router(self, router_id: str, bridges: Sequence[str] = ()) -> None:
        with self._store.lock(router_id):
            if router_id not in self._store.routers():  # another host of this namespace may serve it now
                self._routers.remove(router_id)
        for bridge in bridges:
            self._on(bridge)

    def _on(self, bridge: str) -> None:
        with self._store.lock(bridge):
            self._segments.converge(bridge)

    def apply_groups(self, ports: Sequence[PortFilter], sets: Mapping[str, Sequence[str]]) -> bool:
        """Take over the rules of all ports of this host; whether the kernel's rules changed.

        Plugged ports that it leaves out keep DHCP and anti-spoofing and are denied everything else.
        """
        self._store.put_sets({name: list(members) for name, members in sets.items()})
        self._store.put_filters(list(ports))
        if not self._home.is_there():
            return False
        changed = self._firewall.converge()
        self._shaper.shape(self._firewall.guests())
        return changed

    def sync(self) -> list[str]:
        """Repair what was damaged from outside or left half done; what was repaired, in words. Cheap when all is well.

        Brings everything back after a reboot of the machine, too, from the port files. Call it once more when a guest's
        taps have just been made: some checks can only be tied to interfaces that exist.
        """
        repaired = []
        if not self._home.is_there():
            if not self._segments.names() and not self._store.routers():
                return []
            repaired.append(f"namespace {self._netns}")
        self.ensure_namespace()
        found = links.snapshot(self._netns)
        repaired += [f"bridge {name}" for name in self._repair_bridges(found)]
        repaired += [f"router {router_id}" for router_id in self._repair_routers()]
        repaired += strays.remove(self._store, self._routers.made)
        if self._firewall.repair():
            repaired.append("filters")
        if self._trunks.converge():
            repaired.append("subports")
        if self._firewall.guard(found):
            log.debug("taps guarded")
        if self._firewall.shorten(found):
            log.debug("flows have short ways")
        self._shaper.shape(self._firewall.guests())
        if repaired:
            log.warning("host network repaired", repaired=repaired)
        return repaired

    def _repair_bridges(self, found: dict[str, Link]) -> list[str]:
        wrong = [bridge for bridge in sorted(self._segments.names()) if not self._segments.is_right(bridge, found)]
        for bridge in wrong:
            self._on(bridge)
        return wrong

    def _repair_routers(self) -> list[str]:
        wanted, made, found = self._store.routers(), self._routers.made(), links.snapshot(self._netns)
        wrong = [i for i, record in wanted.items() if not self._routers.is_right(record, found)]
        for router_id in wrong:
            with self._store.lock(router_id):
                self._routers.converge(wanted[router_id], None, links.snapshot(self._netns))
        for router_id in made - wanted.keys():
            self._drop_router(router_id)
        return sorted({*wrong, *(made - wanted.keys())})

    def report(self) -> Report:
        return reporting.report(self._settings, self._store, self._failed, self._trunks.carried)

    def ports(self) -> dict[str, str]:
        return {r.port.port_id: r.port.instance_id for r in self._store.own_ports()}

    def describe(self) -> HostNetInventory:
        damage = {f"net/{i}": some for i, some in self._segments.damage().items()}
        damage |= {f"router/{i}": some for i, some in self._routers.damage().items()}
        found = inventory.describe(self._settings, self._store, self._firewall, self._segments.served(), damage)
        return inventory.with_trunks(found, self._store, self._trunks) if self._home.is_there() else found

    def teardown(self) -> None:
        """End every dnsmasq and remove taps, bridges, tables and namespaces that we made; port files stay."""
        dhcp.end_doubled(self._store.run)
        for network_id in dhcp.processes(self._store.run):
            Dnsmasq(self._store, network_id).stop()
        for network_id in self._store.spaces():
            self._segments.end_processes(network_id)
        for router_id in self._routers.made():
            self._routers.end_processes(router_id)
        present = self._home.is_there()
        for name in netns.names():
            if name.startswith(self._store.space_prefixes):
                netns.remove(name)
        if present:
            for record in self._store.ports():
                links.delete(self._netns, record.port.tap)
            found = links.snapshot(self._netns)
            for name, bridge in self._store.bridges().items():
                links.apply(self._netns, links.plan_removal(name, bridge, found))
            self._firewall.remove()
        if (self._store.run / "namespace").exists():
            netns.remove(self._store.waiting)
            netns.remove(self._netns)
        self._store.erase()


def _is_of(record: PlugRecord | None, instance_id: str | None) -> bool:
    return record is None or instance_id is None or record.port.instance_id == instance_id
