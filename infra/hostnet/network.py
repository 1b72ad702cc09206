"""HostNetwork: what a compute worker calls to plug, filter, repair, list and remove its guests' networking.

The port files say what is wanted; every call writes its intent there first and then brings bridges, dnsmasq and
nftables in line with them. So each call may be repeated, or finished by the next `sync`, after a crash at any point.
"""

import contextlib
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from infra import logs
from infra.hostnet import dhcp, links, netns
from infra.hostnet.dhcp import DhcpServer
from infra.hostnet.firewall import Firewall
from infra.hostnet.links import Link
from infra.hostnet.models import HostNetInventory, PortFilter, PortPlug, tap_name
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.plane import Binding, Report
from infra.hostnet.segment import Segments
from infra.hostnet.store import NetworkRecord, PlugRecord, Store, write_atomic
from infra.hostnet.topology import Network
from infra.settings import Settings

log = logs.get("hostnet")
TAP = re.compile(r"tap[0-9A-Za-z-]{11}")
OWN_NAMESPACE = {
    "ipv4/ip_forward": "0",  # networks without a router do not reach each other
    "ipv4/conf/all/rp_filter": "0",  # the same subnet may exist on two bridges; spoofing is stopped at the taps
    "ipv4/conf/default/rp_filter": "0",
    "ipv6/conf/default/disable_ipv6": "1",
    "bridge/bridge-nf-call-iptables": "1",
    "bridge/bridge-nf-call-ip6tables": "1",
}


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
        self._ensured = ""  # identity of the namespace that was seen to be in order

    def ensure_namespace(self) -> None:
        """Make the namespace if need be, with lo up and bridged packets handed to nftables. Idempotent."""
        identity = netns.identity(self._netns)
        if identity and identity == self._ensured:
            return
        if not Path("/proc/sys/net/bridge").exists():
            with contextlib.suppress(HostNetworkError):
                netns.run("", ["modprobe", "br_netfilter"])
            if not Path("/proc/sys/net/bridge").exists():
                raise HostNetworkError("the kernel module br_netfilter is missing: no security groups without it")
        if self._netns:
            self._ensure_own()
        self._ensured = netns.identity(self._netns)

    def _ensure_own(self) -> None:
        with self._store.lock("namespace"):
            marker = self._store.run / "namespace"
            if not netns.path(self._netns).exists():
                write_atomic(marker, self._netns)
                netns.create(self._netns)
            if not links.snapshot(self._netns)["lo"].up:
                links.apply(self._netns, ["link set dev lo up"])
            if marker.exists():
                netns.sysctl(self._netns, OWN_NAMESPACE)

    def bind(self, port: PortPlug) -> Binding:
        bridge = self._segments.bridge_of(port.network_id, port.physical_network)
        return Binding(bridge=bridge, tap=port.tap, mtu=port.mtu)

    def plug(self, port: PortPlug) -> None:
        """Prepare bridge, gateway, DHCP reservation and default-deny filters for a port, before its guest starts.

        The tap itself (`port.tap`) is made by libvirt. Rules beyond DHCP come from `apply_filters`, before or after.
        """
        self.ensure_namespace()
        record = PlugRecord(netns=self._netns, bridge=self.bind(port).bridge, port=port)
        before = self._store.port(port.port_id)
        with self._store.lock(record.bridge):
            self._store.put_port(record)
            self._segments.converge(record.bridge)
        if before and before.bridge != record.bridge:
            with self._store.lock(before.bridge):
                self._segments.converge(before.bridge)
        self._firewall.converge()

    def unplug(self, port_id: str, instance_id: str | None = None) -> None:
        """Remove all that `plug` made for the port, its tap too; with the last port of a network, the network's.

        With `instance_id` only if that instance plugged it: the port may be another's by now, and so may be a tap
        without a port file."""
        record = self._store.port(port_id)
        if not _is_of(record, instance_id):
            return
        if self._netns and not netns.path(self._netns).exists():
            self._store.drop_port(port_id)
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

    def ensure_network(self, network: Network) -> None:
        """Take over what the network service says of the network: DHCP entries and options, peers, MTU."""
        bridge = self._segments.bridge_of(network.id, network.physical_network)
        before = self._store.own_network(network.id)
        if not self._store.put_network(NetworkRecord(netns=self._netns, bridge=bridge, network=network)):
            return  # what a crash left undone, `sync` does
        if before and before.bridge != bridge:
            self._on(before.bridge)
        if network.serves_dhcp or bridge in self._segments.names():
            self.ensure_namespace()
            self._on(bridge)

    def keep_only(self, networks: Collection[str], routers: Collection[str]) -> None:
        for network_id in set(self._store.own_networks()) - set(networks):
            before = self._store.own_network(network_id)
            self._store.drop_network(network_id)
            if before:
                self._on(before.bridge)

    def _on(self, bridge: str) -> None:
        with self._store.lock(bridge):
            self._segments.converge(bridge)

    def apply_groups(self, ports: Sequence[PortFilter], sets: Mapping[str, Sequence[str]]) -> bool:
        """Take over the rules of all ports of this host; whether the kernel's rules changed.

        Plugged ports that it leaves out keep DHCP and anti-spoofing and are denied everything else.
        """
        self._store.put_sets({name: list(members) for name, members in sets.items()})
        self._store.put_filters(list(ports))
        if self._netns and not netns.path(self._netns).exists():
            return False
        return self._firewall.converge()

    def sync(self) -> list[str]:
        """Repair what was damaged from outside or left half done; what was repaired, in words. Cheap when all is well.

        Brings everything back after a reboot of the machine, too, from the port files. Call it once more when a guest's
        taps have just been made: some checks can only be tied to interfaces that exist.
        """
        repaired = []
        if self._netns and not netns.path(self._netns).exists():
            if not self._segments.names():
                return []
            repaired.append(f"namespace {self._netns}")
        self.ensure_namespace()
        found = links.snapshot(self._netns)
        repaired += [f"bridge {name}" for name in self._repair_bridges(found)]
        if self._firewall.repair():
            repaired.append("filters")
        if self._firewall.guard(found):
            log.debug("taps guarded")
        if repaired:
            log.warning("host network repaired", repaired=repaired)
        return repaired

    def _repair_bridges(self, found: dict[str, Link]) -> list[str]:
        wrong = [bridge for bridge in sorted(self._segments.names()) if not self._segments.is_right(bridge, found)]
        for bridge in wrong:
            self._on(bridge)
        return wrong

    def report(self) -> Report:
        found = links.snapshot(self._netns) if not self._netns or netns.path(self._netns).exists() else {}
        up = {r.port.port_id: bool((tap := found.get(r.port.tap)) and tap.up) for r in self._store.own_ports()}
        return Report(
            tunnel_ip=self._settings.tunnel_ip,
            bridge_mappings=self._settings.bridge_mappings,
            ports={port_id: "ACTIVE" if is_up else "DOWN" for port_id, is_up in up.items()},
        )

    def describe(self) -> HostNetInventory:
        """What exists, read from the kernel, the processes and the files; empty without the namespace."""
        own = {r.port.port_id: r.port.instance_id for r in self._store.own_ports()}
        others = [r.port for r in self._store.ports() if r.port.port_id not in own]
        foreign = {p.tap for p in others} | {p.port_id for p in others}
        inventory = HostNetInventory(ports=own, networks=dhcp.processes(self._store.run))
        servers = [DhcpServer(self._store, d.name) for d in sorted(self._store.run.glob("dhcp/*"))]
        inventory.reservations = [p for server in servers for p in server.reservations() if p not in foreign]
        inventory.spaces = sorted(n for n in netns.names() if n.startswith(self._store.space_name("", "")[:-1]))
        if self._netns and not netns.path(self._netns).exists():
            return inventory
        found = links.snapshot(self._netns)
        made = self._store.bridges()
        inventory.bridges = sorted(name for name, record in made.items() if record.made and name in found)
        near = made.keys() | set(self._settings.bridge_mappings.values())
        taps = {name for name, link in found.items() if TAP.fullmatch(name) and (self._netns or link.master in near)}
        inventory.taps = sorted(taps - foreign)
        inventory.filters = sorted(set(self._firewall.taps()) - foreign)
        return inventory

    def teardown(self) -> None:
        """End every dnsmasq and remove taps, bridges, tables and namespaces that we made; port files stay."""
        for network_id in dhcp.processes(self._store.run):
            DhcpServer(self._store, network_id).stop()
        present = not self._netns or netns.path(self._netns).exists()
        for space in self._store.spaces().values():
            netns.remove(space.name)
        if present:
            for record in self._store.ports():
                links.delete(self._netns, record.port.tap)
            found = links.snapshot(self._netns)
            for name, bridge in self._store.bridges().items():
                links.apply(self._netns, links.plan_removal(name, bridge, found))
            self._firewall.remove()
        if (self._store.run / "namespace").exists():
            netns.remove(self._netns)
        self._store.erase()


def _is_of(record: PlugRecord | None, instance_id: str | None) -> bool:
    return record is None or instance_id is None or record.port.instance_id == instance_id
