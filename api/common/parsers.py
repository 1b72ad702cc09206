"""Texts of queries and headers as values: whole matches, bounded lengths, one meaning each.

Every function raises Malformed for anything else; the caller says which parameter it was, in its service's words."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

INT32 = 2**31 - 1
TRUE = frozenset(("1", "t", "true", "on", "y", "yes"))
FALSE = frozenset(("0", "f", "false", "off", "n", "no"))
UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
VERSION = re.compile(r"([1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})")
MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?(Z|[+ -][0-9]{2}:?[0-9]{2})?)?"
)


OF_TYPES = frozenset(("bool", "str", "int", "float", "list", "dict", "none", "constrained-str", "constrained-int"))
"""Names by which pydantic tells the members of a union apart."""


class Malformed(ValueError):
    """The text is not of the form that is asked for."""


def whole(text: str, *, least: int = 0, most: int = INT32) -> int:
    """A decimal number in ASCII digits, between `least` and `most`."""
    if not re.fullmatch(r"-?[0-9]{1,18}", text.strip(" ")):
        raise Malformed("it is not an integer")
    value = int(text)
    if not least <= value <= most:
        raise Malformed(f"it is not between {least} and {most}")
    return value


def boolean(text: str) -> bool:
    """What oslo.utils' strict bool_from_string takes, in any case."""
    value = text.strip().lower()
    if value not in TRUE | FALSE:
        raise Malformed("it is not a boolean")
    return value in TRUE


def moment(text: str) -> datetime:
    """A date or a time of ISO 8601, as UTC without a zone; without an offset it is UTC. A plus sign that a client did
    not quote, and that therefore became a space, is one."""
    if not MOMENT.fullmatch(text):
        raise Malformed("it is not a time")
    plain = re.sub(r"(?<=[0-9]) (?=[0-9]{2}:?[0-9]{2}$)", "+", text) if text.count(":") > 1 or "T" in text else text
    try:
        value = datetime.fromisoformat(plain.replace(",", "."))
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    except (ValueError, OverflowError):  # 30 February; year 1 east of Greenwich
        raise Malformed("it is not a time") from None


def is_uuid(text: object) -> bool:
    """32 hexadecimal digits, with hyphens in their usual places or without them."""
    return isinstance(text, str) and UUID.fullmatch(text) is not None


def place(parts: Iterable[int | str]) -> str:
    """Where in a body something is, as its sender knows it: without what pydantic calls its own types."""
    return "/".join(str(part) for part in parts if str(part) not in OF_TYPES and "[" not in str(part))


def version(text: str) -> tuple[int, int]:
    """(major, minor) of a microversion such as `2.96`."""
    found = VERSION.fullmatch(text)
    if found is None:
        raise Malformed("it is no version")
    return int(found[1]), int(found[2])


def version_asked_for(header: str, service: str) -> str:
    """What `OpenStack-API-Version` says of one service: the last that names it counts; "" when none does."""
    wanted = ""
    for part in header.split(","):
        named, _, number = part.strip().partition(" ")
        if named.lower() == service:
            wanted = number.strip()
    return wanted


def sort_keys(keys: Iterable[str], directions: Iterable[str], default: str = "asc") -> list[tuple[str, bool]]:
    """(key, descending) of parallel lists of keys and directions. The last direction given counts for the keys that
    follow; of a key that is named twice, the first counts, since the others change nothing."""
    given = [direction.strip().lower() for direction in directions]
    if any(direction not in ("asc", "desc") for direction in given):
        raise Malformed("a direction is neither asc nor desc")
    found: dict[str, bool] = {}
    for place, key in enumerate(keys):
        direction = given[min(place, len(given) - 1)] if given else default
        found.setdefault(key, direction == "desc")
    return list(found.items())
