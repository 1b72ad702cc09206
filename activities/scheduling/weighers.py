"""The order of hosts that all would do."""

from collections.abc import Iterable

from activities.scheduling.filters import memory_of
from infra.contracts.placement import Candidate
from infra.settings import Settings


def best_first(candidates: Iterable[Candidate], settings: Settings) -> list[Candidate]:
    """Most free memory, then fewest instances, then by name."""
    return sorted(candidates, key=lambda c: (c.used.memory_mb - memory_of(c, settings), c.instances, c.host))
