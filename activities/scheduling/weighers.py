"""The order of hosts that all would do."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from activities.scheduling.filters import memory_of
from infra.contracts.placement import Candidate, Company
from infra.settings import Settings

SOFT = {"soft-affinity": -1, "soft-anti-affinity": 1}


def best_first(
    candidates: Iterable[Candidate], company: Company | None, settings: Settings, at: datetime
) -> list[Candidate]:
    """Fewest builds that failed lately, as Nova's BuildFailureWeigher; then as a soft policy of the server's group has
    it, then most free memory, then fewest instances, then by name."""
    since = at - timedelta(seconds=settings.build_failure_memory_s)
    sign, members = (SOFT.get(company.policy, 0), company.members) if company else (0, [])
    return sorted(
        candidates,
        key=lambda c: (
            c.failed_builds if c.failed_at and c.failed_at > since else 0,
            sign * c.of(members),
            c.used.memory_mb - memory_of(c, settings),
            c.instances,
            c.host,
        ),
    )
