"""All rules over one look; what two looks agree on; counts of everything with a bounded part of it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from activities.auditing import leftovers, network_host, nics, set_aside, states
from infra.contracts.audit import Finding, World

RULES: dict[str, Callable[[World], Iterator[Finding]]] = {
    "stuck": states.stuck,
    "lost": states.lost,
    "waiting": states.waiting,
    "doubled": states.doubled,
    "address_twice": states.address_twice,
    "port_gone": states.port_gone,
    "attachment_gone": states.attachment_gone,
    "allocation": leftovers.allocation,
    "domain": leftovers.domain,
    "disk": leftovers.disk,
    "host_port": leftovers.host_port,
    "port": leftovers.port,
    "binding": leftovers.binding,
    "attachment": leftovers.attachment,
    "volume": leftovers.volume,
    "image": leftovers.image,
    "console_token": leftovers.console_token,
    "set_aside": set_aside.set_aside,
    "unplugged": nics.unplugged,
    "tap": nics.tap,
    "filter": nics.filters,
    "dhcp_entry": nics.dhcp_entry,
    **network_host.RULES,
    "unknown": leftovers.unknown,
}
"""Kind of finding → its rule."""
REPAIRED = frozenset(RULES) - {
    "lost", "waiting", "doubled", "address_twice", "port_gone", "attachment_gone", "set_aside", "unknown",
}  # fmt: skip
"""Kinds that may be repaired, where the finding has a proof."""


def compare(world: World) -> Iterator[Finding]:
    """Every disagreement of one look; of one server's only, where the look was at one."""
    for rule in RULES.values():
        for finding in rule(world):
            if world.only in ("", finding.instance_id):
                yield finding


def repairable(finding: Finding) -> bool:
    """What is no server's is mended by the host itself."""
    return bool(finding.proof and (finding.instance_id or by_host(finding))) and finding.kind in REPAIRED


def by_host(finding: Finding) -> bool:
    return finding.kind in network_host.RULES


@dataclass
class Tally:
    """Counts every finding and keeps the first `at_most`."""

    at_most: int
    counts: Counter[str] = field(default_factory=Counter)
    kept: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        self.counts[finding.kind] += 1
        if len(self.kept) < self.at_most:
            self.kept.append(finding)


def keys(findings: Iterable[Finding]) -> set[int]:
    """Of one look, small enough to be kept for every finding until the next."""
    return {hash(finding.key) for finding in findings}


def agreed(first: set[int], second: Iterable[Finding]) -> Iterator[Finding]:
    """What both looks found, as the second saw it."""
    return (finding for finding in second if hash(finding.key) in first)
