"""What a JSON body may hold, so that every store and every answer can hold it too."""

import json
import math
from typing import Any

DEPTH = 40
"""Objects and lists inside each other; the deepest body of an OpenStack client has about ten."""
SMALLEST, LARGEST = -(2**63), 2**63 - 1
"""The integers of SQLite, and of PostgreSQL's bigint."""


class Unstorable(ValueError):
    """The body is no JSON, or holds what cannot be kept; its text names the reason, never the value,
    and is empty for what is no JSON at all."""


def load(raw: bytes | bytearray) -> Any:
    """The value of a JSON text (RFC 8259). Refused: other encodings than UTF-8, NUL, halves of surrogate pairs,
    integers beyond 64 bits, numbers that are no numbers, a name twice in one object, more than 40 levels."""
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except Unstorable:
        raise
    except RecursionError:
        raise Unstorable("it is nested too deeply") from None
    except ValueError:
        raise Unstorable("") from None
    check(value)
    return value


def check(value: Any) -> None:
    """As `load`, for a value that is parsed already."""
    waiting = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if depth > DEPTH:
            raise Unstorable("it is nested too deeply")
        if isinstance(item, dict):
            waiting += ((part, depth + 1) for pair in item.items() for part in pair)
        elif isinstance(item, list):
            waiting += ((part, depth + 1) for part in item)
        else:
            _scalar(item)


def text_is_storable(text: str) -> bool:
    """No NUL (PostgreSQL keeps none), no half of a surrogate pair (UTF-8 has none)."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _scalar(item: Any) -> None:
    if isinstance(item, str):
        if not text_is_storable(item):
            raise Unstorable("a character of it cannot be stored")
    elif isinstance(item, float):
        if not math.isfinite(item):
            raise Unstorable("a number of it is out of range")
    elif isinstance(item, int) and not SMALLEST <= item <= LARGEST:
        raise Unstorable("a number of it is out of range")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unstorable("a name is given twice in one object")
    return found


def _constant(_name: str) -> Any:
    raise Unstorable("a number of it is out of range")
