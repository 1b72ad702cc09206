"""Short ways by programs in the kernel: for UDP and TCP over IPv4, a packet of a noted flow costs one look.

As with `shortcuts`, which hosts have whose kernel cannot do this, a packet that leaves by a tap or a tunnel has passed
source check, connection tracking and rules; its flow is noted for some seconds, and where packets of that flow come in
they are handed on. A change of rules, members or ports makes every note worthless by one number, the generation; and
once more when whatever was still on its way under the old rules has arrived.

What hangs on the devices says itself whose it is and which maps it uses, so processes come and go without a trace."""

import contextlib
import ctypes
import hashlib
import platform
import re
import socket
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from infra import logs
from infra.hostnet import bpf, flow_programs, netns
from infra.hostnet.flow_programs import Maps, Told, programs
from infra.hostnet.flow_tracking import Tracking
from infra.hostnet.hooks import ARRAY, HASH, LRU_HASH, Attached, Held, Hook, Map, attach, attached, detach
from infra.hostnet.models import Damage
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.shortcuts import Domain

log = logs.get("hostnet")
MOST_FLOWS, MOST_DEVICES = 32768, 16384
IDLE = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established"
TOLD = ("devices", "near", "generation")
MEMBARRIER = {"x86_64": 324, "aarch64": 283, "ppc64le": 365, "s390x": 356, "riscv64": 283}
EVERYBODY = 1
ZERO = bytes(4)
_libc = ctypes.CDLL(None, use_errno=True)


Place = tuple[int, Hook]
Present = list[tuple[Place, Attached]]


class Flows:
    """The short ways of a namespace. `tag` tells ours from others'. Callers hold the lock of the rules."""

    def __init__(self, namespace: str, tag: str) -> None:
        self._namespace, self._tag = namespace, tag
        self._devices: Mapping[str, int] = {}
        self._hung: set[int] = set()

    def converge(self, domains: Sequence[Domain], devices: Mapping[str, int]) -> bool:
        """`devices`: index by name. Whether anything had to be attached or told."""
        self._devices = devices
        roles = self._roles(domains)
        try:
            return bool(netns.call(self._namespace, lambda: self._converge(domains, roles)))
        except (OSError, HostNetworkError) as error:  # a device went away meanwhile: the next call sees it
            log.info("no short ways", reason=str(error))
            return False

    def _roles(self, domains: Sequence[Domain]) -> dict[int, str]:
        """Index of each device that packets come in or leave by → t (tap) or v (tunnel)."""
        found: dict[int, str] = {}
        for domain in (one.known(self._devices) for one in domains):
            named = {g.plug.tap: "t" for g in domain.guests} | ({domain.tunnel: "v"} if domain.tunnel else {})
            if len(named) > 1:
                found |= {self._devices[name]: role for name, role in named.items()}
        return found

    def _converge(self, domains: Sequence[Domain], roles: dict[int, str]) -> bool:
        idle_s = int(Path(IDLE).read_text())
        suffix = f"{self._tag[:6]}{_version(idle_s)}"
        present = self._present(set(self._devices.values()))
        wanted = {(index, hook): _name(role, hook, suffix) for index, role in roles.items() for hook in Hook}
        whole = sorted((place, one.name) for place, one in present) == sorted(wanted.items())
        if not whole:
            self._attach(wanted, present, idle_s, suffix)
            present = self._present(set(roles))
        self._hung = set(roles)
        maps = _found(present)
        told = [self._tell(held, domains) for held in maps]
        if any(told) or not whole:
            _renew(maps)
        return not whole or any(told)

    def _attach(self, wanted: dict[Place, str], present: Present, idle_s: int, suffix: str) -> None:
        """Programs that are there and right stay, and serve other devices, too: one set of maps is for all."""
        right = [(place, one) for place, one in present if one.name.endswith(suffix)]
        known = _sets(right)
        if len(known) != 1:
            right = []
        held = {one.name: Held.program(one.id) for _, one in right}
        if wanted.items() - {(place, one.name) for place, one in right}:
            maps = make(known[0] if right else {})
            made = programs(maps, _tracking(idle_s), hertz(), suffix)
            held |= {p.name: Held(bpf.load(p)) for p in made.values() if p.name not in held}
        kept = {(place, one.name): one.id for place, one in right if wanted.get(place) == one.name}
        for (index, hook), name in wanted.items():
            if ((index, hook), name) not in kept:
                attach(index, hook, held[name])
        for (index, hook), one in present:
            if kept.get(((index, hook), one.name)) != one.id:
                detach(index, hook, one.id)

    def _present(self, indexes: Iterable[int]) -> Present:
        return [
            ((index, hook), one)
            for index in sorted(indexes)
            for hook in Hook
            for one in attached(index, hook)
            if re.match(f"[tv][io]_{self._tag[:6]}", one.name)
        ]

    def _tell(self, maps: Told, domains: Sequence[Domain]) -> bool:
        """Which devices and MAC addresses there are; whether that was news."""
        devices: dict[bytes, bytes] = {}
        near: set[bytes] = set()
        for domain in (one.known(self._devices) for one in domains):
            hurried, alone, tunnel = domain.hurried(), domain.unique(), domain.tunnel
            noted = {guest.plug.tap for guest in hurried} | {tunnel}
            for name in {*(guest.plug.tap for guest in domain.guests), tunnel} - {""}:
                devices[_index(self._devices[name])] = struct.pack("=II", domain.zone, name in noted)
            near |= {self._place(g.plug.tap, mac) for g in hurried for mac in g.sources if mac in alone}
            near |= {self._place(tunnel, mac) for g in domain.guests for mac in g.sources if tunnel}
        news = [maps.devices.fill(devices), maps.near.fill(dict.fromkeys(near, ZERO))]
        return any(news)

    def _place(self, device: str, mac: str) -> bytes:
        return _index(self._devices[device]) + bytes.fromhex(mac.replace(":", "")) + bytes(2)

    def renew(self, domains: Sequence[Domain]) -> None:
        """What was let through is judged anew. Where ports are others now, none of theirs is noted from here on."""

        def work() -> None:
            maps = _found(self._present(index for index, _ in socket.if_nameindex()))
            for one in maps:
                if self._devices:
                    self._tell(one, domains)
                else:
                    _mute(one)
            _renew(maps)

        try:
            netns.call(self._namespace, work)
        except OSError as error:  # no note may outlive the rule that let its flow through
            log.warning("short ways are taken away", reason=str(error))
            self.remove()

    def damage(self, domains: Sequence[Domain], devices: Mapping[str, int], listing: str) -> list[Damage]:
        """Devices that lost their programs."""
        there = {index: name for name, index in devices.items() if index in self._hung}

        def work() -> list[Damage]:
            found = {place for place, _ in self._present(there)}
            lost = {name for index, name in there.items() for hook in Hook if (index, hook) not in found}
            return [Damage(part=f"program {name}", problem="missing") for name in sorted(lost)]

        return netns.call(self._namespace, work) if there else []

    def remove(self) -> None:
        def work() -> None:
            for (index, hook), one in self._present(index for index, _ in socket.if_nameindex()):
                detach(index, hook, one.id)

        with contextlib.suppress(OSError):  # a kernel without such hooks
            netns.call(self._namespace, work)
        self.forget()

    def forget(self) -> None:
        """What is there is read from the kernel each time."""
        self._hung = set()


def _index(number: int) -> bytes:
    return struct.pack("=I", number)


def _name(role: str, hook: Hook, suffix: str) -> str:
    return f"{role}{'i' if hook == Hook.INGRESS else 'o'}_{suffix}"


def make(known: Mapping[str, Map]) -> Maps:
    """With those that there are already."""
    shapes = {
        "flows": (LRU_HASH, 32, 16, MOST_FLOWS),
        "devices": (HASH, 4, 8, MOST_DEVICES),
        "near": (HASH, 12, 4, MOST_DEVICES),
        "there": (LRU_HASH, 12, 8, MOST_DEVICES),
        "generation": (ARRAY, 4, 4, 1),
    }
    return Maps(**{name: known.get(name) or Map.make(*shape, name) for name, shape in shapes.items()})


def _sets(present: Present) -> list[dict[str, Map]]:
    """The maps that attached programs use, by name: one set of them, but while they are being replaced."""
    held = {number: Map.of_id(number) for number in sorted({number for _, one in present for number in one.maps})}
    sets: dict[int, dict[str, Map]] = {}
    for _, one in present:
        named = {held[number].name: held[number] for number in one.maps}
        if "generation" in named:
            sets.setdefault(named["generation"].id, {}).update(named)
    return list(sets.values())


def _found(present: Present) -> list[Told]:
    return [Told(*(named[name] for name in TOLD)) for named in _sets(present) if set(TOLD) <= named.keys()]


def _mute(maps: Told) -> None:
    """Nothing is noted until somebody knows which devices there are."""
    maps.devices.fill({key: maps.devices.get(key)[:4] + ZERO for key in list(maps.devices.keys())})
    maps.near.fill({})


def _renew(maps: Sequence[Told]) -> None:
    """Twice: what was on its way under the old rules may have been noted after the first time."""
    for turn in range(2):
        if turn:
            _await_packets()
        for one in maps:
            (number,) = struct.unpack("=I", one.generation.get(ZERO))
            one.generation.put(ZERO, struct.pack("=I", (number + 1) & 0xFFFFFFFF))


def _await_packets() -> None:
    """Until no processor is still at a packet that it began with before."""
    number = MEMBARRIER.get(platform.machine())
    if number is None or _libc.syscall(number, EVERYBODY, 0, 0) != 0:
        time.sleep(0.05)


def hertz() -> int:
    """The kernel's ticks in a second."""
    return round(1 / time.clock_getres(6))  # CLOCK_MONOTONIC_COARSE


@lru_cache(maxsize=4)
def _tracking(idle_s: int) -> Tracking | None:
    """None where the kernel's connection tracking cannot be asked: TCP takes the long way there."""
    try:
        return Tracking.known(idle_s)
    except HostNetworkError as error:
        log.info("no short ways for TCP", reason=str(error))
        return None


@lru_cache(maxsize=4)
def _version(idle_s: int) -> str:
    """Six hexadecimal digits, others when the programs are."""
    text = f"{_tracking(idle_s)} {hertz()} {Path(flow_programs.__file__).read_text()}"
    return hashlib.sha256(text.encode()).hexdigest()[:6]


@lru_cache(maxsize=1)
def unable() -> str:
    """Why this host has no such ways; '' where it has: it was tried."""
    try:
        maps = make({})
        for program in programs(maps, _tracking(1), hertz(), "trial").values():
            Held(bpf.load(program))
        attached(1, Hook.INGRESS)
    except (OSError, HostNetworkError) as error:
        return str(error)
    return ""
