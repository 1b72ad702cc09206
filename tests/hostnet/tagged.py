"""A guest that tags frames: by hand, octet by octet, or with a stack of its own behind each tag."""

import ctypes
import errno
import platform
import socket
import struct
import time
import uuid
from collections.abc import Iterable, Sequence

from infra.host.network.topology import bring_about
from infra.hostnet import bpf, clsact, netns, tagging
from infra.hostnet.clsact import Hook
from infra.hostnet.models import FixedIp, PortFilter, PortPlug, SubPort, Trunk, tap_name
from infra.hostnet.topology import Network, Topology
from tests.hostnet.conftest import Host, StandIn, filters, ingress, ip
from tests.hostnet.frames import mac as octets
from tests.hostnet.routed import identity, mac, network

PLAIN = network("plain", "10.1.0.0/24", segment=1001, serves_dhcp=True)
BLUE = network("blue", "10.2.0.0/24", segment=1002, mtu=1450, serves_dhcp=True)
GREEN = network("green", "10.2.0.0/24", segment=1003, mtu=1450, serves_dhcp=True)
"""Another tenant's, with the same subnet."""
SOL_PACKET, AUXDATA = 263, 8
VALID = 1 << 4
"""TP_STATUS_VLAN_VALID: the kernel has taken a tag out of the frame."""


def tagged(frame: bytes, *numbers: int, kind: int = 0x8100) -> bytes:
    """The frame with tags, the outer one first."""
    return frame[:12] + b"".join(struct.pack("!HH", kind, number) for number in numbers) + frame[12:]


class Wire:
    """The guest's end of its interface, where frames are as they are: `received` puts their tags back."""

    def __init__(self, guest: StandIn) -> None:
        self._socket = guest.packets()
        self._socket.setsockopt(SOL_PACKET, AUXDATA, 1)

    def send(self, frame: bytes) -> None:
        self._socket.send(frame)

    def received(self, marker: bytes, wait: float = 0.3) -> bytes | None:
        """The first frame with `marker` in it."""
        end = time.monotonic() + wait
        while (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                data, extra, _, where = self._socket.recvmsg(65535, 256)
            except TimeoutError:
                return None
            if marker in data and where[2] != socket.PACKET_OUTGOING:
                return _whole(data, extra)
        return None


def _whole(data: bytes, extra: Iterable[tuple[int, int, bytes]]) -> bytes:
    for level, kind, value in extra:
        if (level, kind) == (SOL_PACKET, AUXDATA):
            status, _, _, _, _, tag, protocol = struct.unpack("IIIHHHH", value[:20])
            if status & VALID:
                return tagged(data, tag, kind=protocol)
    return data


def port_of(host: Host, told: Network, number: int, hardware: str = "", name: str = "subport") -> PortPlug:
    """What a port of the network is called and has; nothing is plugged."""
    subnet, who = told.subnets[0], f"{name} {told.id} {number}"
    prefix = subnet.cidr.rsplit(".", 1)[0]
    fixed = FixedIp(ip_address=f"{prefix}.{number}", subnet_id=subnet.id, cidr=subnet.cidr, gateway_ip=f"{prefix}.1")
    known = {"port_id": identity(who), "mac_address": hardware or mac(who), "network_id": told.id, "fixed_ips": [fixed]}
    return host.port(number, **known)


class Behind(StandIn):
    """A stack behind one tag of a guest's interface: what an operating system with VLANs has there."""

    def __init__(self, parent: StandIn, plug: PortPlug, number: int) -> None:
        self.plug, self.ns, self._sockets = plug, f"g{uuid.uuid4().hex[:10]}", []
        netns.create(self.ns)
        near = f"vl{number}"
        ip(parent.ns, "link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", self.ns)
        ip(parent.ns, "link", "set", near, "up")
        ip(self.ns, "link", "set", "lo", "up")
        ip(self.ns, "link", "set", "eth0", "address", plug.mac_address, "mtu", str(plug.mtu), "up")


def stacks(parent: StandIn, behind: dict[int, Behind]) -> None:
    """Join the stacks to the guest's interface. The guest's own side uses the same programs; what frames look like in
    between is for `Wire` to say."""
    index = {name: number for number, name in netns.call(parent.ns, socket.if_nameindex)}
    for number in behind:
        program = tagging.from_subport(number, index["eth0"])
        clsact.attach(parent.ns, index[f"vl{number}"], Hook.INGRESS, program)
    inner = {number: index[f"vl{number}"] for number in behind}
    clsact.attach(parent.ns, index["eth0"], Hook.INGRESS, tagging.from_guest(inner))


class TrunkLab:
    """A host with one parent on PLAIN, and ordinary guests; it is told one word, as the network service does."""

    def __init__(self, host: Host) -> None:
        self.host, self.others = host, list[StandIn]()
        self.networks: list[Network] = [PLAIN]
        self.subports: dict[int, PortPlug] = {}
        self.up = True
        self.parent_plug = port_of(host, PLAIN, 11, name="parent")
        self.rules: dict[str, PortFilter] = {}
        self.tell()
        self.parent = self.boot(self.parent_plug)

    def boot(self, plug: PortPlug) -> StandIn:
        guest = self.host.boot(plug)
        self.host.net.tapped(plug.instance_id)
        return guest

    def neighbour(self, told: Network, number: int) -> StandIn:
        """An ordinary guest of the network."""
        if told.id not in {one.id for one in self.networks}:
            self.networks.append(told)
        self.tell()
        guest = self.boot(port_of(self.host, told, number, name="neighbour"))
        self.others.append(guest)
        self.tell()
        return guest

    def trunk(self) -> Trunk:
        below = [SubPort(port_id=plug.port_id, segmentation_id=n) for n, plug in self.subports.items()]
        return Trunk(admin_state_up=self.up, subports=below)

    def word(self) -> Topology:
        """What the network service tells."""
        plugs = [self.parent_plug, *self.subports.values(), *(guest.plug for guest in self.others)]
        parent, *ports = [self.rules.get(plug.port_id) or filters(plug, ingress(None)) for plug in plugs]
        parent = parent.model_copy(update={"trunk": self.trunk()})
        used = {PLAIN.id, *(plug.network_id for plug in plugs)}
        return Topology(networks=[n for n in self.networks if n.id in used], ports=[parent, *ports])

    def tell(self) -> None:
        assert bring_about(self.host.net, self.word()) == []

    def trust(self) -> None:
        """No port has its sources checked, or rules: what is stopped now, programs stop."""
        plugs = [self.parent_plug, *self.subports.values(), *(guest.plug for guest in self.others)]
        free = {"port_security_enabled": False, "rules": []}
        self.rules = {plug.port_id: filters(plug).model_copy(update=free) for plug in plugs}
        self.tell()

    def carry(self, **tags: tuple[Network, int]) -> list[Behind]:
        """Subports by tag ('t100'), each with a stack behind its tag."""
        for name, (told, number) in tags.items():
            if told.id not in {one.id for one in self.networks}:
                self.networks.append(told)
            plug = port_of(self.host, told, number).model_copy(update={"mtu": told.mtu})
            self.subports[int(name[1:])] = plug
        self.tell()
        return self.behind()

    def behind(self) -> list[Behind]:
        """A stack behind each tag."""
        made = {n: Behind(self.parent, plug, n) for n, plug in self.subports.items()}
        self.host.guests += made.values()
        stacks(self.parent, made)
        return list(made.values())

    def states(self) -> dict[str, str]:
        return self.host.net.describe().subports

    def carried(self, *numbers: int) -> bool:
        return self.states() == {self.subports[number].port_id: "carried" for number in numbers}


def left(host: Host, plugs: Sequence[PortPlug]) -> list[str]:
    """Interfaces of the ports that are still there."""
    names = {name for _, name in netns.call(host.ns, socket.if_nameindex)}
    return sorted(names & {name for p in plugs for name in (tap_name(p.port_id), f"sp-{p.port_id[:11]}")})


def arp_request(hardware: str, address: str, target: str) -> bytes:
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    return head + octets(hardware) + socket.inet_aton(address) + bytes(6) + socket.inet_aton(target)


def refuse_programs() -> None:
    """This process's kernel has no bpf() any more. Source: seccomp(2)."""
    number = bpf.CALLS[platform.machine()]
    steps = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | errno.ENOSYS), (0x06, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    told = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, told, 0, 0) == 0
