"""How much of what the tests can ask a run asks: `./kilonova test` takes turns, any other run, and CI's, asks all.

A turn is one of four. Which one follows from the code: the same when a test is run again, another when the code is
another. What takes turns has the mark `turns`: each of a function's cases by itself, or a whole file, whose tests may
follow each other, by `turns(file=SECONDS)`: of processor time, by which files are dealt out."""

import os
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import pytest

from workers.cli.checks import IN_TURNS

ROOT = Path(__file__).parents[1]
CODE = ("activities", "api", "infra", "workers", "workflows")
PARTS = 4
T = TypeVar("T")
WHOLE = IN_TURNS not in os.environ


def of(things: Sequence[T]) -> list[T]:
    """Those that this run asks, in their order."""
    if WHOLE:
        return list(things)
    mixed = random.Random(len(things)).sample(range(len(things)), len(things))
    return [things[place] for place in sorted(mixed[_turn() :: PARTS])]


def left_out(items: Iterable[pytest.Item]) -> set[pytest.Item]:
    """Those whose turn it is not."""
    if WHOLE:
        return set()
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    files: dict[str, list[pytest.Item]] = defaultdict(list)
    costs: dict[str, float] = {}
    for item in items:
        if mark := item.get_closest_marker("turns"):
            file = item.nodeid.partition("::")[0]
            if "file" in mark.kwargs:
                costs[file] = mark.kwargs["file"]
                files[file].append(item)
            else:
                cases[item.nodeid.partition("[")[0]].append(item)
    asked = {item for found in cases.values() for item in of(found)}
    asked |= {item for file in hands(costs)[_turn()] for item in files[file]}
    return {item for found in (*cases.values(), *files.values()) for item in found} - asked


def hands(costs: dict[str, float]) -> list[list[str]]:
    """The names dealt out to all turns, so that these cost the same: the dearest first, to whoever has least."""
    dealt: list[list[str]] = [[] for _ in range(PARTS)]
    for name in sorted(costs, key=lambda name: (-costs[name], name)):
        min(dealt, key=lambda hand: sum(costs[each] for each in hand)).append(name)
    return dealt


@cache
def _turn() -> int:
    digest = sha256()
    for file in sorted(file for part in CODE for file in (ROOT / part).rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.digest()[0] % PARTS
