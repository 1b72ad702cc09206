"""As much of a DHCPv6 client as the tests need. Source: RFC 8415, sections 8, 16, 18, 21; RFC 3646."""

import ipaddress
import socket
import struct
import time
from collections.abc import Iterator

from infra.hostnet import netns
from tests.hostnet.conftest import StandIn

SOLICIT, ADVERTISE, REQUEST, REPLY, INFORMATION = 1, 2, 3, 7, 11
CLIENT, SERVER, ADDRESSES, ADDRESS, WANTED, NAMES = 1, 2, 3, 5, 6, 23


def _option(code: int, body: bytes) -> bytes:
    return struct.pack("!HH", code, len(body)) + body


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        code, length = struct.unpack("!HH", data[:4])
        yield code, data[4 : 4 + length]
        data = data[4 + length :]


def _until_it_may_send(guest: StandIn, patience_s: float = 15) -> None:
    """Until its link-local address is known to be nobody else's: before, the kernel sends nothing from it."""
    end = time.monotonic() + patience_s
    tentative = ["ip", "-6", "address", "show", "dev", "eth0", "scope", "link", "tentative"]
    while netns.run(guest.ns, tentative).strip():
        assert time.monotonic() < end, "its own address stays tentative"
        time.sleep(0.05)


def _ask(guest: StandIn, kind: int, more: bytes = b"") -> bytes:
    """The options of the answer; empty when nobody answers."""
    hardware = bytes.fromhex(guest.plug.mac_address.replace(":", ""))
    client = _option(CLIENT, struct.pack("!HH", 3, 1) + hardware)
    asked = client + _option(WANTED, struct.pack("!H", NAMES)) + _option(8, b"\0\0") + more
    opened = netns.call(guest.ns, lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
    with opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(("::", 546))
        index = netns.call(guest.ns, lambda: socket.if_nametoindex("eth0"))
        opened.settimeout(1.5)
        for _ in range(2):
            opened.sendto(bytes([kind]) + b"\x0a\x0b\x0c" + asked, ("ff02::1:2", 547, 0, index))
            try:
                answer = opened.recv(2048)
                return answer[4:] if answer[1:4] == b"\x0a\x0b\x0c" else b""
            except TimeoutError:
                continue
    return b""


def dhcp6(guest: StandIn) -> set[str]:
    """Every address that a DHCPv6 server gave, its name servers included: a lease, and what it tells without one."""
    _until_it_may_send(guest)
    wanted = _option(ADDRESSES, struct.pack("!III", 7, 0, 0))
    offered = dict(_options(_ask(guest, SOLICIT, wanted)))
    found: set[str] = set()
    if SERVER in offered and ADDRESSES in offered:
        given = dict(_options(_ask(guest, REQUEST, wanted + _option(SERVER, offered[SERVER]))))
        inner = dict(_options(given.get(ADDRESSES, b"")[12:]))
        found |= {str(ipaddress.IPv6Address(inner[ADDRESS][:16]))} if ADDRESS in inner else set()
    for told in (offered, dict(_options(_ask(guest, INFORMATION)))):
        names = told.get(NAMES, b"")
        found |= {str(ipaddress.IPv6Address(names[at : at + 16])) for at in range(0, len(names), 16)}
    return found
