"""Bandwidth that guests receive, shaped at their taps; what they send is limited by the bridge's rules.

Source: tc-tbf(8)."""

import json
from collections.abc import Iterable, Mapping

from infra.hostnet import netns
from infra.hostnet.guests import Guest
from infra.hostnet.links import Link

LATENCY_MS = 50
MTU_BITS = 8 * 2048
Shape = tuple[int, int]
"""Octets a second, and octets of a burst."""


def wanted(guests: Iterable[Guest], links: Mapping[str, Link]) -> dict[str, Shape]:
    """Shape by tap, for the taps that exist. A burst holds at least 10 ms, or the rate is never reached."""
    found = {}
    for guest in guests:
        qos = guest.known.qos if guest.known else None
        if qos and qos.ingress_kbps and guest.plug.tap in links:
            burst = max(qos.ingress_burst_kbits * 1000, qos.ingress_kbps * 10, MTU_BITS) // 8
            found[guest.plug.tap] = (qos.ingress_kbps * 125, burst)
    return found


def present(namespace: str) -> dict[str, Shape]:
    """Shape by interface, of everything that is shaped in the namespace."""
    shown = json.loads(netns.run(namespace, ["tc", "-j", "qdisc", "show"]) or "[]")
    return {
        entry["dev"]: (int(entry["options"]["rate"]), int(entry["options"]["burst"]))
        for entry in shown
        if entry.get("kind") == "tbf" and entry.get("root")
    }


def plan(wanted: Mapping[str, Shape], present: Mapping[str, Shape], ours: set[str]) -> list[str]:
    """The `tc` batch that makes the one of the other; of what is shaped only our taps are touched."""
    lines = [f"qdisc delete dev {tap} root" for tap in sorted(present) if tap not in wanted and tap in ours]
    for tap, (rate, burst) in sorted(wanted.items()):
        if not _alike(present.get(tap), (rate, burst)):
            lines.append(f"qdisc replace dev {tap} root tbf rate {rate * 8}bit burst {burst}b latency {LATENCY_MS}ms")
    return lines


def _alike(one: Shape | None, other: Shape) -> bool:
    """The kernel keeps bursts in ticks, and says them back a little off."""
    return one is not None and one[0] == other[0] and abs(one[1] - other[1]) <= other[1] // 50 + 1


def apply(namespace: str, lines: list[str]) -> None:
    if lines:
        netns.run(namespace, ["tc", "-batch", "-"], "\n".join(lines) + "\n")
