"""How much of what the tests of the edge can ask is asked: CI asks all, any other run a quarter."""

import os
import random
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

API = Path(__file__).parents[2] / "api"
PARTS = 4
T = TypeVar("T")
WHOLE = bool(os.environ.get("CI"))


def of(things: Sequence[T]) -> list[T]:
    """Those that this run asks, in their order. Which quarter follows from the code of `api/`: the same when a test is
    run again, another when the code is another."""
    if WHOLE:
        return list(things)
    mixed = random.Random(len(things)).sample(range(len(things)), len(things))
    return [things[place] for place in sorted(mixed[_turn() :: PARTS])]


@cache
def _turn() -> int:
    digest = sha256()
    for file in sorted(API.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.digest()[0] % PARTS
