"""Bandwidth that guests receive, shaped at their taps; what they send is limited by the bridge's rules.

Source: tc-tbf(8)."""

import json
from collections.abc import Iterable, Mapping

from infra.hostnet import netns
from infra.hostnet.guests import Guest
from infra.hostnet.links import Link, snapshot
from infra.hostnet.models import Bandwidth
from infra.hostnet.store import Store

LATENCY_MS = 50
MTU_BITS = 8 * 2048
Shape = tuple[int, int, int]
"""Octets a second, octets of a burst, and octets that may pass at once within it (0: all): by these the speed of a
burst is known again, which `tc` does not tell in JSON."""
MILLISECOND = 1000


def wanted(guests: Iterable[Guest], links: Mapping[str, Link]) -> dict[str, Shape]:
    """Shape by tap, for the taps that exist. A burst holds at least 10 ms, or the rate is never reached."""
    found = {}
    for guest in guests:
        qos = guest.bandwidth
        if qos and qos.ingress_kbps and guest.plug.tap in links:
            burst = max(qos.ingress_burst_kbits * 1000, qos.ingress_kbps * 10, MTU_BITS) // 8
            peak = (qos.ingress_peak_kbps or 0) * 125
            found[guest.plug.tap] = (qos.ingress_kbps * 125, burst, peak and peak // MILLISECOND + MTU_BITS // 8)
    return found


def present(namespace: str) -> dict[str, Shape]:
    """Shape by interface, of everything that is shaped in the namespace."""
    shown = json.loads(netns.run(namespace, ["tc", "-j", "qdisc", "show"]) or "[]")
    return {
        entry["dev"]: (
            int(entry["options"]["rate"]),
            int(entry["options"]["burst"]),
            int(entry["options"].get("minburst", 0)),
        )
        for entry in shown
        if entry.get("kind") == "tbf" and entry.get("root")
    }


def plan(wanted: Mapping[str, Shape], present: Mapping[str, Shape], ours: set[str]) -> list[str]:
    """The `tc` batch that makes the one of the other; of what is shaped only our taps are touched."""
    lines = [f"qdisc delete dev {tap} root" for tap in sorted(present) if tap not in wanted and tap in ours]
    for tap, (rate, burst, least) in sorted(wanted.items()):
        if not _alike(present.get(tap), (rate, burst, least)):
            peak = (least - MTU_BITS // 8) * MILLISECOND
            at_most = f" peakrate {peak * 8}bit minburst {least}b" if least else ""
            lines.append(
                f"qdisc replace dev {tap} root tbf rate {rate * 8}bit burst {burst}b latency {LATENCY_MS}ms{at_most}"
            )
    return lines


def _alike(one: Shape | None, other: Shape) -> bool:
    """The kernel keeps bursts in ticks, and says them back a little off."""
    return (
        one is not None and one[0] == other[0] and all(abs(one[at] - other[at]) <= other[at] // 50 + 1 for at in (1, 2))
    )


def apply(namespace: str, lines: list[str]) -> None:
    if lines:
        netns.run(namespace, ["tc", "-batch", "-"], "\n".join(lines) + "\n")


class Shaper:
    """The bandwidth of the taps that exist, in line with what network service and flavors allow them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shaped = True  # whether any tap may be shaped
        self._limited: set[str] | None = None  # instances whose port files have limits; None: not looked at yet

    def limit(self, instance_id: str, bandwidth: Bandwidth | None) -> bool:
        """Write what the flavor allows into the instance's port files; whether it may be in force nowhere yet."""
        if self._limited is None:
            self._limited = {each.port.instance_id for each in self._store.own_ports() if each.port.limits}
        if not bandwidth and instance_id not in self._limited:
            return False
        for record in self._store.own_ports():
            if record.port.instance_id == instance_id and record.port.limits != bandwidth:
                port = record.port.model_copy(update={"limits": bandwidth})
                self._store.put_port(record.model_copy(update={"port": port}))
        (self._limited.add if bandwidth else self._limited.discard)(instance_id)
        return True

    def shape(self, guests: list[Guest]) -> None:
        limited = any(guest.bandwidth and guest.bandwidth.ingress_kbps for guest in guests)
        if limited or self._shaped:
            netns = self._store.netns
            with self._store.lock("shaping"):
                shapes = wanted(guests, snapshot(netns))
                apply(netns, plan(shapes, present(netns), {guest.plug.tap for guest in guests}))
        self._shaped = limited
