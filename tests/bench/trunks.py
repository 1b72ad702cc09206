"""What a tag costs: a guest behind a subport beside one of an ordinary port, to the same neighbour, in turns.

`python -m tests.bench.trunks`, as root; see `network` for what BENCH_TURNS and BENCH_SECONDS mean. Both guests sit
behind one more pair and a program that hands frames on, as a guest's own VLAN interface would; one also tags them."""

import os
import socket
import statistics
import tempfile
from pathlib import Path

from infra.hostnet import bpf, clsact, netns
from infra.hostnet.clsact import Hook
from infra.hostnet.tagging import REDIRECT
from tests.bench.network import TCP, TURNS, UDP, throughput
from tests.hostnet.conftest import Host, StandIn, ip
from tests.hostnet.tagged import BLUE, Behind, TrunkLab


def relayed(relay: StandIn) -> Behind:
    """A stack of the relay's port behind it, joined as one behind a tag is, without the tag."""
    made = Behind(relay, relay.plug.model_copy(update={"mtu": BLUE.mtu}), 1)
    index = {name: number for number, name in netns.call(relay.ns, socket.if_nameindex)}
    for here, there in (("eth0", "vl1"), ("vl1", "eth0")):
        code = [bpf.put(1, index[there]), bpf.put(2, 0), bpf.call(REDIRECT), bpf.leave()]
        clsact.attach(relay.ns, index[here], Hook.INGRESS, bpf.assemble("relay", code))
    made.configure()
    return made


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        host = Host(Path(scratch), lab_gateway=False)
        try:
            _measure(host)
        finally:
            host.close()


def _measure(host: Host) -> None:
    lab = TrunkLab(host)
    near, relay = lab.neighbour(BLUE, 12), lab.neighbour(BLUE, 13)
    ip(relay.ns, "address", "flush", "dev", "eth0")
    (tagged,) = lab.carry(t100=(BLUE, 11))
    tagged.configure()
    plain = relayed(relay)
    host.guests.append(plain)
    ip(near.ns, "link", "set", "eth0", "mtu", str(BLUE.mtu))
    host.net.sync()
    print(f"load {os.getloadavg()[0]:.1f}, {TURNS} turns; CPU of both processes for each Mbit: ordinary / subport")
    for name, kind in (("TCP", TCP), ("UDP", UDP)):
        for way, pairs in (("from", ((plain, near), (tagged, near))), ("to", ((near, plain), (near, tagged)))):
            both = [[throughput(*pair, kind) for pair in pairs] for _ in range(TURNS)]
            cost = [one[0][1] / one[1][1] for one in both]
            speed = [one[1][0] / one[0][0] for one in both]
            low, middle, high = statistics.quantiles(cost, n=4)
            print(
                f"{name} {way} the guest: CPU {middle:.2f} ({low:.2f}-{high:.2f}), speed {statistics.median(speed):.2f}"
            )


if __name__ == "__main__":
    main()
