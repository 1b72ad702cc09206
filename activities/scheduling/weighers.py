"""The order of hosts that all would do."""

from collections.abc import Iterable

from activities.scheduling.filters import memory_of
from infra.contracts.placement import Candidate, Company
from infra.settings import Settings

SOFT = {"soft-affinity": -1, "soft-anti-affinity": 1}


def best_first(candidates: Iterable[Candidate], company: Company | None, settings: Settings) -> list[Candidate]:
    """As a soft policy of the server's group has it, then most free memory, then fewest instances, then by name."""
    sign, members = (SOFT.get(company.policy, 0), company.members) if company else (0, [])
    return sorted(
        candidates,
        key=lambda c: (sign * c.of(members), c.used.memory_mb - memory_of(c, settings), c.instances, c.host),
    )
