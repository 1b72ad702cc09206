"""Ethernet frames made by hand, to send what a well-behaved guest would not."""

import socket
import struct
import time

BROADCAST = "ff:ff:ff:ff:ff:ff"


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ethernet(destination: str, source: str, kind: int, body: bytes) -> bytes:
    return mac(destination) + mac(source) + struct.pack("!H", kind) + body.ljust(46, b"\0")


def udp(source: str, destination: str, payload: bytes, ports: tuple[int, int] = (4000, 4000)) -> bytes:
    """An IPv4 packet with a UDP datagram."""
    return _ipv4(source, destination, 17, struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload)


def tcp(source: str, destination: str, payload: bytes, ports: tuple[int, int], flags: int) -> bytes:
    """An IPv4 packet with a segment of TCP, whose numbers fit no connection."""
    head = struct.pack("!HHIIBBH", *ports, 1, 1, 5 << 4, flags, 1000)
    pseudo = socket.inet_aton(source) + socket.inet_aton(destination)
    pseudo += struct.pack("!HH", 6, len(head) + 4 + len(payload))
    checksum = _checksum(pseudo + head + bytes(4) + payload)
    return _ipv4(source, destination, 6, head + struct.pack("!HH", checksum, 0) + payload)


def _ipv4(source: str, destination: str, protocol: int, body: bytes) -> bytes:
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, protocol, 0)
    header += socket.inet_aton(source) + socket.inet_aton(destination)
    return header[:10] + struct.pack("!H", _checksum(header)) + header[12:] + body


def _checksum(octets: bytes) -> int:
    octets += bytes(len(octets) % 2)
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def arp_reply(hardware: str, address: str, to: str) -> bytes:
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2)
    return head + mac(hardware) + socket.inet_aton(address) + mac(BROADCAST) + socket.inet_aton(to)


def arrives(sender: socket.socket, frame: bytes, receiver: socket.socket, marker: bytes, wait: float = 0.25) -> bool:
    """Whether a frame with `marker` in it is received after `frame` was sent."""
    receiver.setblocking(False)
    while True:  # what came before does not count
        try:
            receiver.recv(65535)
        except BlockingIOError:
            break
    sender.send(frame)
    end = time.monotonic() + wait
    while (left := end - time.monotonic()) > 0:
        receiver.settimeout(left)
        try:
            if marker in receiver.recv(65535):
                return True
        except TimeoutError:
            break
    return False
