"""One request to both clouds, and what is made of a good one by changing it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.bodies import places, replaced, without

NOBODY = "11111111-2222-4333-8444-555555555555"
VALUES: list[Any] = [None, 5, "", "x" * 300, [], {}, True, "nonsense"]
"""What each value of a body is replaced by."""


@dataclass(frozen=True)
class Ask:
    clause: str
    method: str
    path: str
    body: Any = None
    who: str = "member"
    service: str = "compute"
    version: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    about: str = ""

    @property
    def content(self) -> bytes | None:
        return self.raw if self.raw is not None else json.dumps(self.body).encode() if self.body is not None else None

    @property
    def sent(self) -> dict[str, str]:
        return ({"OpenStack-API-Version": f"{self.service} {self.version}"} if self.version else {}) | self.headers

    def __str__(self) -> str:
        body = "" if self.content is None else f" {self.content[:160].decode(errors='replace')}"
        version = f" @{self.version}" if self.version else ""
        extra = f" {self.headers}" if self.headers else ""
        about = f" ({self.about})" if self.about else ""
        return f"{self.who} {self.method} {self.path[:120]}{version}{extra}{body}{about}"


def malformed(ask: Ask) -> Iterator[Ask]:
    """`ask` with each value of its body replaced, left out, and a name beside it; and bodies that are no object."""
    for place in places(ask.body):
        for value in VALUES:
            yield replace(
                ask, body=replaced(ask.body, place, value), about=f"{_name(place)} = {json.dumps(value)[:20]}"
            )
        yield replace(ask, body=without(ask.body, place), about=f"without {_name(place)}")
        if isinstance(place[-1], str):
            beside = (*place[:-1], "unknown_name")
            yield replace(ask, body=replaced(ask.body, beside, 1), about=f"{_name(beside)} beside")
    for raw in (b"", b"{", b"[]", b"{}", b"null", b'"text"', b"\xff"):
        yield replace(ask, raw=raw, about=f"body {raw!r}")
    yield replace(ask, headers={"Content-Type": "text/plain"}, about="text/plain")
    yield replace(ask, headers={"Content-Type": "application/xml"}, about="application/xml")
    yield replace(ask, headers={"Content-Type": ""}, about="no content type")


def _name(place: tuple[Any, ...]) -> str:
    return "/".join(map(str, place))
