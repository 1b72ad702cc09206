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
    datagram = struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 64, 17, 0)
    header += socket.inet_aton(source) + socket.inet_aton(destination)
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return header[:10] + struct.pack("!H", checksum) + header[12:] + datagram


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
