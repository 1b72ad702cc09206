"""What one UDP packet between namespaces costs, ours beside bare: the steadiest figure where other work is done."""

import os
import socket
import statistics
import time

from infra.hostnet import netns
from tests.hostnet.conftest import StandIn

PACKETS = int(os.environ.get("BENCH_PACKETS", "30000"))
PORT = 5202
Pair = tuple[StandIn, StandIn]


class Packets:
    """A UDP socket of the first connected to one of the second; nobody reads there."""

    def __init__(self, pair: Pair) -> None:
        self._source, self._target = (self._socket(guest) for guest in pair)
        self._source.connect((pair[1].address, PORT))
        self.cost(50)
        assert self._target.recv(2000), "packets arrive"

    def _socket(self, guest: StandIn) -> socket.socket:
        made = netns.call(guest.ns, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        made.settimeout(2)
        made.bind((guest.address, PORT))
        return made

    def cost(self, count: int = PACKETS) -> float:
        """Microseconds of CPU until a packet lies at the receiver's socket, which all are in the sender's thread."""
        data, send = b"x" * 1400, self._source.send
        begun = time.thread_time()
        for _ in range(count):
            send(data)
        return (time.thread_time() - begun) / count * 1e6


def compare(what: str, ours: Pair, bare: Pair, turns: int) -> None:
    pairs = [Packets(pair) for pair in (ours, bare)]
    costs = [[one.cost() for one in pairs] for _ in range(turns)]
    mine, floor = (statistics.median(side) for side in zip(*costs, strict=True))
    ratio = statistics.median(theirs / own for own, theirs in costs)
    print(f"| {what} | {mine:.2f} µs | {floor:.2f} µs | {ratio:.2f} |", flush=True)
