"""Bodies of requests, changed in one place."""

import copy
from collections.abc import Iterator
from typing import Any

Place = tuple[Any, ...]
"""Names and numbers on the way to a value, outermost first."""


def places(template: Any, before: Place = ()) -> Iterator[Place]:
    """Ways to every value in `template` but itself."""
    parts = (
        template.items() if isinstance(template, dict) else enumerate(template) if isinstance(template, list) else ()
    )
    for name, value in parts:
        yield (*before, name)
        yield from places(value, (*before, name))


def held(template: Any, place: Place) -> tuple[Any, Any]:
    """A copy of `template`, and what holds the value at `place` in it."""
    found = copy.deepcopy(template)
    inner = found
    for name in place[:-1]:
        inner = inner[name]
    return found, inner


def replaced(template: Any, place: Place, value: Any) -> Any:
    found, holder = held(template, place)
    holder[place[-1]] = value
    return found


def without(template: Any, place: Place) -> Any:
    found, holder = held(template, place)
    del holder[place[-1]]
    return found
