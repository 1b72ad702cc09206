"""Carries guests' ICMP echo requests out of a network's namespace, and what answers them back in.

`python -m infra.hostnet.echo --netns NAME` makes the tunnel device `echo0` inside NAME and asks from where it was
started. slirp4netns cannot: without privileges it sends none, and with them it takes any ICMP message for the answer.
A small process of its own, standard library only, that keeps no privileges once its two descriptors are open.
Source: RFC 792, 1071 (checksum); tun(4)."""

import argparse
import contextlib
import fcntl
import os
import pwd
import select
import socket
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from infra.hostnet import netns

DEVICE = "echo0"
TUNSETIFF, IFF_TUN_NO_PI = 0x400454CA, 0x1001
REQUEST, REPLY, UNREACHABLE, EXCEEDED = 8, 0, 3, 11
WAITING, PATIENCE_S = 4096, 10.0


@dataclass(frozen=True)
class Asker:
    """Who sent the request that left under a number of ours: address and identifier inside, and until when we wait."""

    address: bytes
    target: bytes
    number: int
    until: float


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) // 2 * 2]))
    total += data[-1] << 8 if len(data) % 2 else 0
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def sealed(message: bytes) -> bytes:
    """The ICMP message with its checksum."""
    return message[:2] + struct.pack("!H", checksum(message[:2] + b"\0\0" + message[4:])) + message[4:]


def packet(source: bytes, target: bytes, message: bytes) -> bytes:
    """An IPv4 packet that carries the message."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(message), 0, 0, 64, 1, 0) + source + target
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + message


class Relay:
    """Translates between the two sides; identifiers outside are ours, since guests choose theirs alike."""

    def __init__(self) -> None:
        self._askers: dict[int, Asker] = {}
        self._next = os.getpid() & 0xFFFF

    def outward(self, data: bytes, now: float) -> tuple[str, bytes, int] | None:
        """Target, message and remaining hops of a request from inside; None for anything else."""
        head = (data[0] & 15) * 4 if data else 0
        if len(data) < head + 8 or data[0] >> 4 != 4 or data[9] != 1 or data[head] != REQUEST or data[8] < 2:
            return None
        number = _number(data, head + 4)
        mine = self._mine(data[12:16], data[16:20], number, now)
        message = sealed(data[head : head + 4] + struct.pack("!H", mine) + data[head + 6 :])
        return socket.inet_ntoa(data[16:20]), message, data[8] - 1

    def _mine(self, address: bytes, target: bytes, number: int, now: float) -> int:
        asker = Asker(address, target, number, now + PATIENCE_S)
        for mine, known in self._askers.items():
            if (known.address, known.target, known.number) == (address, target, number):
                self._askers[mine] = asker
                return mine
        if len(self._askers) >= WAITING:
            self._askers = {m: a for m, a in self._askers.items() if a.until > now}
        while self._next in self._askers and len(self._askers) < WAITING:
            self._next = (self._next + 1) & 0xFFFF
        mine, self._next = self._next, (self._next + 1) & 0xFFFF
        self._askers[mine] = asker
        return mine

    def inward(self, data: bytes, now: float) -> bytes | None:
        """The packet for the guest, from one that arrived outside; None when it answers no request of ours."""
        head = (data[0] & 15) * 4
        message = data[head:]
        if len(message) < 8:
            return None
        if message[0] == REPLY:
            return self._reply(data[12:16], message, now)
        if message[0] in (UNREACHABLE, EXCEEDED):
            return self._error(data[12:16], message, now)
        return None

    def _reply(self, source: bytes, message: bytes, now: float) -> bytes | None:
        asker = self._askers.get(_number(message, 4))
        if asker is None or asker.until < now or asker.target != source:
            return None
        return packet(source, asker.address, sealed(message[:4] + struct.pack("!H", asker.number) + message[6:]))

    def _error(self, source: bytes, message: bytes, now: float) -> bytes | None:
        quoted = message[8:]
        inner = (quoted[0] & 15) * 4 if quoted else 0
        if len(quoted) < inner + 8 or quoted[9] != 1 or quoted[inner] != REQUEST:
            return None
        asker = self._askers.get(_number(quoted, inner + 4))
        if asker is None or asker.until < now or asker.target != quoted[16:20]:
            return None
        told = (
            quoted[:12] + asker.address + quoted[16 : inner + 4] + struct.pack("!H", asker.number) + quoted[inner + 6 :]
        )
        return packet(source, asker.address, sealed(message[:8] + told))


def open_tunnel(namespace: str) -> int:
    """A descriptor of `echo0`, made inside the namespace; it goes with the descriptor."""

    def make() -> int:
        tunnel: int = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(tunnel, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN_NO_PI))
        return tunnel

    opened: int = netns.call(namespace, make)
    return opened


def drop_privileges() -> None:
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)


def serve(namespace: str, ready: int) -> None:
    """Until the namespace is gone; writes to `ready` when it serves. OSError when it cannot."""
    tunnel = open_tunnel(namespace)
    outside = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    commands = [
        ["ip", "link", "set", DEVICE, "mtu", "65000", "up"],
        ["ip", "route", "replace", "default", "dev", DEVICE, "table", "188"],
    ]
    for command in commands:
        netns.run(namespace, command)
    identity, place = netns.identity(namespace), Path(netns.path(namespace))
    drop_privileges()
    os.write(ready, b"1")
    os.close(ready)
    relay = Relay()
    while place.exists() and netns.identity(namespace) == identity:
        readable = select.select([tunnel, outside.fileno()], [], [], 1.0)[0]
        with contextlib.suppress(OSError):  # one packet that cannot be sent is one lost packet
            if tunnel in readable and (sent := relay.outward(os.read(tunnel, 65535), time.monotonic())):
                target, message, hops = sent
                outside.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
                outside.sendto(message, (target, 0))
            if outside.fileno() in readable and (answer := relay.inward(outside.recv(65535), time.monotonic())):
                os.write(tunnel, answer)


def main() -> None:
    parser = argparse.ArgumentParser(prog="infra.hostnet.echo", description=__doc__)
    parser.add_argument("--netns", required=True)
    parser.add_argument("--ready-fd", type=int, required=True)
    options = parser.parse_args()
    serve(options.netns, options.ready_fd)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
