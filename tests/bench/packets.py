"""What a UDP packet and 64 KiB of TCP cost between namespaces, ours beside bare. The steadiest figures where other work
is done: sender, path and receiver are one thread, whose CPU is read. Of TCP it is the worst case: its data never leave
the processor's cache, and copying them is most of what TCP costs otherwise."""

import os
import socket
import statistics
import time
from collections.abc import Callable
from typing import Protocol

from infra.hostnet import netns
from tests.hostnet.conftest import StandIn

PACKETS = int(os.environ.get("BENCH_PACKETS", "3000"))
SEGMENT = 1 << 16
PORT = 5202
Pair = tuple[StandIn, StandIn]


class Sender(Protocol):
    def send(self) -> None:
        """One more, until it lies at the receiver's socket or was read there."""


class Packets:
    """A UDP socket of the first connected to one of the second; nobody reads there."""

    def __init__(self, pair: Pair) -> None:
        self._source, self._target = (_socket(guest, socket.SOCK_DGRAM) for guest in pair)
        self._source.connect((pair[1].address, PORT))
        self._data = b"x" * 1400
        for _ in range(50):
            self.send()
        assert self._target.recv(2000), "packets arrive"

    def send(self) -> None:
        self._source.send(self._data)


class Streams:
    """A TCP connection, which the sender's thread also reads from."""

    def __init__(self, pair: Pair) -> None:
        self._source, server = (_socket(guest, socket.SOCK_STREAM) for guest in pair)
        with server:
            server.listen(1)
            self._source.connect((pair[1].address, PORT))
            self._target, _ = server.accept()
        self._target.settimeout(5)
        self._data, self._buffer = b"x" * SEGMENT, bytearray(SEGMENT)
        for _ in range(50):
            self.send()

    def send(self) -> None:
        self._source.sendall(self._data)
        left = SEGMENT
        while left:
            left -= self._target.recv_into(self._buffer, left)


def _socket(guest: StandIn, kind: int) -> socket.socket:
    made = netns.call(guest.ns, lambda: socket.socket(socket.AF_INET, kind))
    made.settimeout(5)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((guest.address, PORT))
    return made


def cost(sender: Sender, count: int) -> float:
    """Microseconds of CPU for each."""
    send = sender.send
    begun = time.thread_time()
    for _ in range(count):
        send()
    return (time.thread_time() - begun) / count * 1e6


def compare(what: str, make: Callable[[Pair], Sender], ours: Pair, bare: Pair, turns: int) -> None:
    """Short turns, one after the other: load is about the same in both, and the ratio of each counts."""
    mine, theirs = make(ours), make(bare)
    count = PACKETS if make is Packets else PACKETS // 5
    costs = [_turn(mine, theirs, count, first=bool(n % 2)) for n in range(turns)]
    own, floor = (statistics.median(side) for side in zip(*costs, strict=True))
    ratio = spread([theirs / mine for mine, theirs in costs])
    print(f"| {what} | {own:.2f} µs | {floor:.2f} µs | {ratio} |", flush=True)


def spread(ratios: list[float]) -> str:
    """Their median, and the quartiles."""
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def _turn(ours: Sender, bare: Sender, count: int, *, first: bool) -> tuple[float, float]:
    if first:
        mine = cost(ours, count)
        return mine, cost(bare, count)
    theirs = cost(bare, count)
    return cost(ours, count), theirs
