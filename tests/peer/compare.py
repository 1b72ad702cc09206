"""What differs between two answers: status, headers, the shape of the body, and the words of an error."""

import re
from dataclasses import dataclass
from typing import Any

from tests.peer.clouds import Answer, Cloud

HEADERS = ("allow", "content-type", "vary", "location", "www-authenticate", "openstack-api-version",
           "x-openstack-nova-api-version", "x-openstack-request-id", "x-compute-request-id")  # fmt: skip
TEXT: list[tuple[str, str]] = [
    (r"req-[0-9a-f-]{36}", "<request>"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uuid>"),
    (r"\b[0-9a-f]{32}\b", "<hex>"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d+Z?(\+00:00)?", "<moment>"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\dZ?", "<second>"),
    (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "<mac>"),
]


@dataclass(frozen=True)
class Difference:
    kind: str
    """`status`, `header`, `shape`, `words` or `value`."""
    place: str
    ours: str
    theirs: str


def plain(cloud: Cloud, newest: str, text: str) -> str:
    """`text` without what differs from cloud to cloud: ids, addresses of services, moments, the newest version."""
    for service, root in sorted(cloud.roots.items(), key=lambda each: -len(each[1])):
        text = text.replace(root, f"<{service}>")
    for name, value in sorted(cloud.ids.items(), key=lambda each: -len(each[1])):
        if len(value) > 3:
            text = text.replace(value, f"<{name}>")
    for pattern, word in TEXT:
        text = re.sub(pattern, word, text)
    return text.replace(f"maximum is {newest}", "maximum is <newest>")


def shape(value: Any) -> Any:
    """The names and types of a body; of a list, the shape of all its elements together."""
    match value:
        case dict():
            return {name: shape(each) for name, each in value.items()}
        case list():
            together: Any = None
            for each in value:
                together = _joined(together, shape(each)) if together is not None else shape(each)
            return [together] if value else []
        case str():
            for word in ("<uuid>", "<hex>", "<second>", "<moment>"):
                if value == word:
                    return f"str {word}"
            return "str <uuid>" if re.fullmatch(r"<\w+>", value) else "str"
        case None:
            return "null"
        case bool():
            return "bool"
    return type(value).__name__


def _joined(one: Any, other: Any) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        names = [*one, *(name for name in other if name not in one)]
        return {n: _joined(one[n], other[n]) if n in one and n in other else one.get(n, other.get(n)) for n in names}
    if isinstance(one, list) and isinstance(other, list):
        return [_joined(one[0], other[0])] if one and other else one or other
    return one if one == other else "|".join(sorted({*str(one).split("|"), *str(other).split("|")}))


def differences(ours: Answer, theirs: Answer, sides: tuple[Cloud, Cloud], newest: tuple[str, str]) -> list[Difference]:
    if ours.status != theirs.status:
        words = [_words(a.body) for a in (ours, theirs)]
        return [Difference("status", "", f"{ours.status} {words[0]}", f"{theirs.status} {words[1]}")]
    found = []
    for name in HEADERS:
        pair = [_header(name, plain(c, n, a.headers.get(name, "")))
                for a, c, n in zip((ours, theirs), sides, newest, strict=True)]  # fmt: skip
        if pair[0] != pair[1]:
            found.append(Difference("header", name, *pair))
    bodies = [_plain(c, n, a.body) for a, c, n in zip((ours, theirs), sides, newest, strict=True)]
    if ours.status >= 400:
        return found + _errors(*bodies)
    return found + list(_walk("", *bodies))


def _header(name: str, value: str) -> str:
    if name == "content-type":
        return value.partition(";")[0]
    if name in ("allow", "vary"):
        return ", ".join(sorted({each.strip().lower() for each in value.split(",")}))
    return value


def _plain(cloud: Cloud, newest: str, body: Any) -> Any:
    match body:
        case str():
            return plain(cloud, newest, body)
        case dict():
            return {plain(cloud, newest, name): _plain(cloud, newest, each) for name, each in body.items()}
        case list():
            return [_plain(cloud, newest, each) for each in body]
    return body


def _words(body: Any) -> str:
    """An error's own words, whichever service's it is."""
    if isinstance(body, dict) and len(body) == 1:
        ((_, inner),) = body.items()
        if isinstance(inner, dict):
            return f"{inner.get('type', '')} {inner.get('message', '')}".strip()
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            return str(inner[0].get("detail", inner[0]))
        return str(inner)
    return str(body)[:300]


def _errors(ours: Any, theirs: Any) -> list[Difference]:
    found = []
    one, other = shape(ours), shape(theirs)
    if one != other:
        found.append(Difference("shape", "", str(one), str(other)))
    if _essence(_words(ours)) != _essence(_words(theirs)):
        found.append(Difference("words", "", _words(ours), _words(theirs)))
    return found


SCHEMA = [
    (r"(Additional properties are not allowed|.* does not match any of the regexes).*", "unexpected"),
    (r"(is not of (a )?type|is not one of|is not valid under any|should be a valid) .*|is not a '[\w-]+'", "kind"),
    (
        r"(is too (long|short)|does not match .*|is (less|greater) than .*|should be non-empty|has too (many|few) .*)",
        "bounds",
    ),
    (r"'[^']*' is a required property", "required"),
]
"""What a validator says, by its keyword: where it stands and which value it has are told in more than one way."""


def _essence(words: str) -> str:
    words = words.partition("  Failed validating")[0].strip()
    for pattern, word in SCHEMA:
        if found := re.search(f"({pattern})$", words):
            return f"{word} {found[0]}" if word == "required" else word
    return words


def _walk(place: str, ours: Any, theirs: Any) -> list[Difference]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        found = [
            Difference("shape", f"{place}/{name}", "is there", "is not there") for name in ours if name not in theirs
        ]
        found += [Difference("shape", f"{place}/{n}", "is not there", "is there") for n in theirs if n not in ours]
        return found + [
            d for name in ours if name in theirs for d in _walk(f"{place}/{name}", ours[name], theirs[name])
        ]
    one, other = shape(ours), shape(theirs)
    if isinstance(ours, list) and isinstance(theirs, list):
        if one and other:
            return _shapes(f"{place}[]", one[0], other[0])
        return [Difference("value", place, f"{len(ours)} elements", f"{len(theirs)} elements")] if one != other else []
    if one != other:
        return [Difference("shape", place, f"{one} {ours!r:.80}", f"{other} {theirs!r:.80}")]
    return [Difference("value", place, repr(ours), repr(theirs))] if ours != theirs else []


def _shapes(place: str, one: Any, other: Any) -> list[Difference]:
    if isinstance(one, dict) and isinstance(other, dict):
        return _walk_shapes(place, one, other)
    return [] if one == other else [Difference("shape", place, str(one), str(other))]


def _walk_shapes(place: str, one: dict[str, Any], other: dict[str, Any]) -> list[Difference]:
    found = [Difference("shape", f"{place}/{name}", "is there", "is not there") for name in one if name not in other]
    found += [Difference("shape", f"{place}/{name}", "is not there", "is there") for name in other if name not in one]
    for name in one:
        if name in other:
            a, b = one[name], other[name]
            if isinstance(a, list) and isinstance(b, list):
                found += _shapes(f"{place}/{name}[]", a[0], b[0]) if a and b else []
            else:
                found += _shapes(f"{place}/{name}", a, b)
    return found
