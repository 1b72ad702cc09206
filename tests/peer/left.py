"""Differences that are meant, each with its reason."""

from tests.peer.asks import Ask
from tests.peer.compare import Difference


def reason(ask: Ask, found: list[Difference]) -> str:
    """Why all of what differs is meant; "" when it is not."""
    return "values are each cloud's own" if all(each.kind == "value" for each in found) else ""
