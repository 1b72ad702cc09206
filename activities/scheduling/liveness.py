"""When a host counts as up."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from infra.contracts.placement import Ear, Reported


def is_up(service: Reported, at: datetime, patience: timedelta, ears: Sequence[Ear] = ()) -> bool:
    """Reported within `patience` before `at`, and not forced down. Where `ears` are known, only a silence that one of
    them has heard for so long counts: that of a host whose report nobody took is unknown."""
    last = service.last_seen
    if service.forced_down or last is None:
        return False
    heard = not ears or any(ear.until - max(ear.since, last) >= patience for ear in ears)
    return at - last < patience or not heard
