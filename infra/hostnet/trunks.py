"""Subports of the trunks whose parents are plugged here: a pair of interfaces each, and the programs that join them.

The inner end of a pair is the subport's tap, and lies on its network's bridge: port file, filters, DHCP and limits are
those of any port. Its outer end and the parent's tap are joined by programs (see `tagging`): no interface here knows of
VLANs. Port files say what was begun; what is wanted follows from what the network service told of the parents."""

import threading
from collections.abc import Iterable, Mapping

from infra import logs
from infra.hostnet import bpf, clsact, links, tagging
from infra.hostnet.bpf import Program
from infra.hostnet.clsact import Hook
from infra.hostnet.firewall import Firewall
from infra.hostnet.links import DELETE, Link
from infra.hostnet.models import Below, FixedIp, PortFilter, PortPlug, SubPort, outer_name, tap_name
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.segment import Segments
from infra.hostnet.store import PlugRecord, Store
from infra.hostnet.topology import Network, Subnet

log = logs.get("hostnet")
CARRIED, WAITING = "carried", "waiting"
Places = Mapping[tuple[int, Hook], Program]
"""Index of an interface and where at it → the program that is to be there."""


class Trunks:
    """Of the ports that are plugged on this host."""

    def __init__(self, store: Store, segments: Segments, firewall: Firewall) -> None:
        self._store, self._segments, self._firewall = store, segments, firewall
        self._idle = self._complained = False
        self._turn = threading.Lock()

    def unable(self) -> str:
        """Why no subport can be carried here; '' where it can."""
        try:
            bpf.tag(tagging.from_subport(1, 1))
        except HostNetworkError as error:
            return str(error)
        return clsact.unable(tagging.from_guest({1: 1}))

    def _told(self) -> dict[str, PortFilter]:
        return {known.id: known for known in self._store.own_filters()}

    def _parents(self, told: Mapping[str, PortFilter]) -> dict[str, PlugRecord]:
        """Those that are plugged for the server that the network service says has them."""
        if not any(known.trunk for known in told.values()):
            return {}
        records = {r.port.port_id: r for r in self._store.own_ports() if not r.port.below}
        return {
            id: records[id]
            for id, known in told.items()
            if known.trunk and id in records and records[id].port.instance_id == known.device_id
        }

    def _wanted(self) -> dict[str, PlugRecord]:
        told, found = self._told(), dict[str, PlugRecord]()
        parents = self._parents(told)
        own = {r.port.port_id for r in self._store.own_ports() if not r.port.below} if parents else set()
        for id, parent in parents.items():
            trunk = told[id].trunk
            for below in trunk.subports if trunk and trunk.admin_state_up else ():
                known = None if below.port_id in own else told.get(below.port_id)
                record = self._record(parent, below, known)
                if record:
                    found[below.port_id] = record
        if found and (reason := self.unable()):
            if not self._complained:
                log.warning("no subports are carried here", reason=reason)
            self._complained = True
            return {}
        return found

    def _record(self, parent: PlugRecord, below: SubPort, known: PortFilter | None) -> PlugRecord | None:
        """None as long as the network service has not told all of it, or this host has no way into its network; and for
        a port that is plugged for a server all the same."""
        network = self._store.own_network(known.network_id) if known else None
        if known is None or network is None:
            return None
        try:
            bridge = self._segments.bridge_of(known.network_id, network.network.physical_network)
        except HostNetworkError as error:
            log.info("a subport is not carried", port=known.id, reason=str(error))
            return None
        return PlugRecord(netns=parent.netns, bridge=bridge, port=_plug(parent.port, below, known, network.network))

    def converge(self) -> bool:
        """Bring pairs and programs in line with what was told; whether anything had to be done."""
        with self._turn:
            if self._idle and not any(known.trunk for known in self._store.own_filters()):
                return False
            with self._store.trunks_lock():
                return self._converge()

    def _converge(self) -> bool:
        wanted = self._wanted()
        known = {r.port.port_id: r for r in self._store.own_ports() if r.port.below}
        gone = [record for id, record in known.items() if id not in wanted]
        news = [record for id, record in wanted.items() if known.get(id) != record]
        for record in gone:
            self._take_down(record)
        for record in news:
            self._store.put_port(record)
            with self._store.lock(record.bridge):
                self._segments.converge(record.bridge)
            before = known.get(record.port.port_id)
            if before and before.bridge != record.bridge:
                with self._store.lock(before.bridge):
                    self._segments.converge(before.bridge)
        if gone or news:
            self._firewall.converge()
        changed = self._connect(wanted.values())
        self._idle = not wanted and not known
        return bool(gone or news or changed)

    def _take_down(self, record: PlugRecord) -> None:
        with self._store.lock(record.bridge):
            links.delete(record.netns, record.port.tap)
            self._store.drop_port(record.port.port_id)
            self._segments.converge(record.bridge)

    def _connect(self, records: Iterable[PlugRecord]) -> bool:
        """Pairs that are not there, and programs that are others; an end is up when its program is there."""
        namespace, found = self._store.netns, links.snapshot(self._store.netns)
        lines = [line for record in records for line in _pair(record, found)]
        lines += [f"{DELETE}{name}" for name in self._loose_ends(found)]
        links.apply(namespace, lines)
        found = links.snapshot(namespace) if lines else found
        changed = self._attach(found)
        ups = [line for record in records for line in _up(record, found)]
        links.apply(namespace, ups)
        return bool(lines or changed or ups)

    def _attach(self, found: Mapping[str, Link]) -> bool:
        """Programs of outer ends come before those that lead to them."""
        wanted = self._programs(found)
        present = clsact.attached(self._store.netns, sorted({index for index, _ in wanted}))
        wrong = [
            (index, hook, program)
            for (index, hook), program in wanted.items()
            if present[index][hook] != [bpf.tag(program)]
        ]
        strays = self._with_stray_programs(found, wanted)
        crowded = {index for index, hook, _ in wrong if len(present[index][hook]) > 1 or "" in present[index][hook]}
        for index in (*strays, *sorted(crowded)):
            clsact.clear(self._store.netns, index)
        for (index, hook), program in wanted.items():
            if index in crowded or (index, hook, program) in wrong:
                clsact.attach(self._store.netns, index, hook, program)
        return bool(wrong or strays)

    def _programs(self, found: Mapping[str, Link]) -> Places:
        """Of all interfaces that exist. A parent's tap has some without subports, too: what is tagged goes nowhere."""
        parents = self._parents(self._told())
        if not parents or self.unable():
            return {}
        subports = [r.port for r in self._store.own_ports() if r.port.below]
        made: dict[tuple[int, Hook], Program] = {}
        for id, record in parents.items():
            tap = found.get(record.port.tap)
            outer: dict[int, int] = {}
            for port in subports:
                end, below = found.get(outer_name(port.port_id)), port.below
                if end and below and below.parent == id:
                    outer[below.number] = end.index
                    made[end.index, Hook.INGRESS] = tagging.from_subport(below.number, tap.index if tap else None)
            if tap:
                made[tap.index, Hook.INGRESS] = tagging.from_guest(outer)
                made[tap.index, Hook.EGRESS] = tagging.to_guest(outer)
        return made

    def _with_stray_programs(self, found: Mapping[str, Link], wanted: Places) -> list[int]:
        """Taps and ends of ours at which nothing is to hang."""
        ports = [r.port for r in self._store.own_ports()]
        ours = (name for port in ports for name in (port.tap, outer_name(port.port_id)))
        indexes = {found[name].index for name in ours if name in found}
        return sorted((clsact.holders(self._store.netns) & indexes) - {index for index, _ in wanted})

    def _loose_ends(self, found: Mapping[str, Link]) -> list[str]:
        """Outer ends that no port file wants, in a namespace that is ours."""
        if not self._store.netns:
            return []
        wanted = {outer_name(r.port.port_id) for r in self._store.ports() if r.port.below}
        return sorted(n for n, link in found.items() if n.startswith("sp-") and link.kind == "veth" and n not in wanted)

    def states(self, found: Mapping[str, Link]) -> dict[str, str]:
        """Subport → how it is (see HostNetInventory), of every subport that has a port file here."""
        records = [r for r in self._store.own_ports() if r.port.below]
        if not records:
            return {}
        wanted = self._programs(found)
        present = clsact.attached(self._store.netns, sorted({index for index, _ in wanted}))
        wrong = {at for at, program in wanted.items() if present[at[0]][at[1]] != [bpf.tag(program)]}
        return {record.port.port_id: _state(record, found, wrong) for record in records}

    def carried(self, found: Mapping[str, Link]) -> dict[str, str]:
        """Subport → ACTIVE or DOWN, of every subport of a parent that is plugged here."""
        told = self._told()
        trunks = [trunk for id in self._parents(told) if (trunk := told[id].trunk)]
        states = self.states(found) if trunks else {}
        ids = [below.port_id for trunk in trunks for below in trunk.subports]
        return {id: "ACTIVE" if states.get(id) == CARRIED else "DOWN" for id in ids}

    def loose(self, found: Mapping[str, Link]) -> list[str]:
        """What no port wants, in words."""
        strays = set(self._with_stray_programs(found, self._programs(found)))
        programs = [f"program {name}" for name, link in found.items() if link.index in strays]
        return sorted([*self._loose_ends(found), *programs])


def _plug(parent: PortPlug, below: SubPort, known: PortFilter, network: Network) -> PortPlug:
    subnets = [(f, s) for f in known.fixed_ips if (s := network.subnet(f.subnet_id))]
    names = set(FixedIp.model_fields) & set(Subnet.model_fields)
    return PortPlug(
        port_id=known.id,
        instance_id=parent.instance_id,
        network_id=network.id,
        network_name=network.name,
        physical_network=network.physical_network,
        mac_address=known.mac_address,
        mtu=network.mtu,
        fixed_ips=[FixedIp(ip_address=f.ip_address, subnet_id=s.id, **s.model_dump(include=names)) for f, s in subnets],
        port_security_enabled=known.port_security_enabled,
        allowed_address_pairs=known.allowed_address_pairs,
        limits=parent.limits,
        below=Below(parent=parent.port_id, number=below.segmentation_id),
    )


def _pair(record: PlugRecord, found: Mapping[str, Link]) -> list[str]:
    """The `ip` batch that makes both ends, or gives them another MTU."""
    inner, outer, mtu = record.port.tap, outer_name(record.port.port_id), record.port.mtu
    lines: list[str] = []
    if inner in found and outer in found:
        lines = [f"link set dev {name} mtu {mtu}" for name in (inner, outer) if found[name].mtu != mtu]
    else:
        lines = [f"{DELETE}{name}" for name in (inner, outer) if name in found]
        lines.append(f"link add name {inner} mtu {mtu} type veth peer name {outer} mtu {mtu}")
        lines += [f"link set dev {name} addrgenmode none" for name in (inner, outer)]
    if inner not in found or outer not in found or found[inner].master != record.bridge:
        lines.append(f"link set dev {inner} master {record.bridge}")
    return lines


def _up(record: PlugRecord, found: Mapping[str, Link]) -> list[str]:
    ends = (record.port.tap, outer_name(record.port.port_id))
    return [f"link set dev {name} up" for name in ends if name in found and not found[name].up]


def _state(record: PlugRecord, found: Mapping[str, Link], wrong: set[tuple[int, Hook]]) -> str:
    assert record.port.below
    inner, outer = found.get(record.port.tap), found.get(outer_name(record.port.port_id))
    if not (inner and outer and inner.up and outer.up and inner.master == record.bridge):
        return "interfaces"
    tap = found.get(tap_name(record.port.below.parent))
    at = {(outer.index, Hook.INGRESS), *(((tap.index, hook) for hook in Hook) if tap else ())}
    if at & wrong:
        return "programs"
    return CARRIED if tap and tap.up else WAITING
