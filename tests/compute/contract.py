"""A small language for what a JSON value must be at a microversion, and the check of it.

A schema is a function (whether a value is right), an object of schemas, a list of one schema, or one of the classes
below. An object has exactly its names: none too many, none missing."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Check = Callable[[Any], bool]


@dataclass(frozen=True)
class At:
    """A name that exists from one microversion to another; outside of them the object does not have it."""

    schema: Any
    since: int = 1
    until: int = 10_000


@dataclass(frozen=True)
class May:
    """A name that may be missing."""

    schema: Any


@dataclass(frozen=True)
class Together:
    """Names that an object has all of or none of, such as those that only admins see."""

    names: dict[str, Any]


@dataclass(frozen=True)
class Map:
    """An object with any names, whose values are all of one kind."""

    value: Any


@dataclass(frozen=True)
class Either:
    """One of several schemas."""

    schemas: tuple[Any, ...]


@dataclass(frozen=True)
class By:
    """Another schema from a microversion on."""

    since: int
    before: Any
    after: Any


def kind(*types: type) -> Check:
    return lambda value: isinstance(value, types) and not (isinstance(value, bool) and bool not in types)


def maybe(schema: Any) -> Either:
    return Either((NULL, schema))


def like(pattern: str) -> Check:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


NULL: Check = lambda value: value is None  # noqa: E731
STR, INT, BOOL, NUMBER = kind(str), kind(int), kind(bool), kind(int, float)
ANY: Check = lambda value: True  # noqa: E731
UUID = like(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PROJECT = like(r"[0-9a-f-]{32,36}|[A-Za-z0-9-]{1,64}")
SECOND = like(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
MICRO = like(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")
IP = like(r"[0-9.]{7,15}|[0-9a-f:.]{2,45}")
LINK = {"rel": like("self|bookmark|next"), "href": like("https?://[^ ]+")}


def problems(schema: Any, value: Any, minor: int, place: str = "") -> list[str]:
    """What of `value` is not as `schema` says at microversion 2.`minor`; [] when it is right."""
    if isinstance(schema, At | May):
        return problems(schema.schema, value, minor, place)
    if isinstance(schema, By):
        return problems(schema.after if minor >= schema.since else schema.before, value, minor, place)
    if isinstance(schema, Either):
        found = [problems(each, value, minor, place) for each in schema.schemas]
        return [] if [] in found else found[-1]
    if isinstance(schema, Map):
        if not isinstance(value, dict):
            return [f"{place}: no object"]
        return [
            wrong for name, part in value.items() for wrong in problems(schema.value, part, minor, f"{place}/{name}")
        ]
    if isinstance(schema, dict):
        return _object(schema, value, minor, place)
    if isinstance(schema, list):
        if not isinstance(value, list):
            return [f"{place}: no list"]
        return [wrong for n, part in enumerate(value) for wrong in problems(schema[0], part, minor, f"{place}/{n}")]
    return [] if schema(value) else [f"{place}: {value!r:.60}"]


def names_at(schema: dict[str, Any], value: dict[str, Any], minor: int) -> tuple[dict[str, Any], set[str]]:
    """(name -> schema of all that the object may have, the names that it must have)."""
    may: dict[str, Any] = {}
    must: set[str] = set()
    for name, given in schema.items():
        part = given
        while isinstance(part, By):
            part = part.after if minor >= part.since else part.before
        if isinstance(part, Together):
            inner_may, inner_must = names_at(part.names, value, minor)
            may |= inner_may
            must |= inner_must if inner_must & set(value) else set()
            continue
        if isinstance(part, At) and not part.since <= minor <= part.until:
            continue
        may[name] = part
        inner = part.schema if isinstance(part, At) else part
        if not isinstance(inner, May):
            must.add(name)
    return may, must


def _object(schema: dict[str, Any], value: Any, minor: int, place: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{place}: no object"]
    may, must = names_at(schema, value, minor)
    wrong = [f"{place}/{name}: too many" for name in value if name not in may]
    wrong += [f"{place}/{name}: missing" for name in must if name not in value]
    for name, part in value.items():
        if name in may:
            wrong += problems(may[name], part, minor, f"{place}/{name}")
    return wrong
