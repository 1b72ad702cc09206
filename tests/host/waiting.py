"""Waiting for what another process does."""

import time
from typing import Any


def until(ask: Any, seconds: float = 20.0) -> Any:
    """The first true answer of `ask`."""
    end = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < end, f"not in time: {ask}"
        time.sleep(0.05)
    return answer
