"""Microversions: the number that a request asks for, and the headers that say at which one it is answered.

Source: the API working group's "Microversion Specification"."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Scope, Send

from api.common import parsers

HEADER = "OpenStack-API-Version"
Told = Callable[[Scope], dict[str, str]]
"""What a service's answers say to a request."""


class OutOfRange(ValueError):
    """A version that the service does not have; its text is as it was asked for."""


@dataclass(frozen=True)
class Range:
    """`major`.`first` to `major`.`last`."""

    major: int
    first: int
    last: int

    def minor(self, wanted: str) -> int:
        """Without a wish the first; raises parsers.Malformed, and OutOfRange."""
        if not wanted:
            return self.first
        if wanted.lower() == "latest":
            return self.last
        major, minor = parsers.version(wanted)
        if major != self.major or not self.first <= minor <= self.last:
            raise OutOfRange(wanted)
        return minor


def stamp(headers: MutableHeaders, told: dict[str, str]) -> None:
    for name, version in told.items():
        headers[name] = version
        headers.add_vary_header(name)


def stamped(send: Send, told: dict[str, str]) -> Send:
    """Answers with these headers, by which caches also tell answers apart."""

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            stamp(MutableHeaders(scope=message), told)
        await send(message)

    return answer
