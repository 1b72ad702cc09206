"""Microversions: the number that a request asks for, and the headers that say at which one it is answered.

Source: the API working group's "Microversion Specification"."""

from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

from api.common import parsers

HEADER = "OpenStack-API-Version"


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


def stamped(send: Send, told: dict[str, str]) -> Send:
    """Answers with these headers, by which caches also tell answers apart."""

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, version in told.items():
                headers[name] = version
                headers.add_vary_header(name)
        await send(message)

    return answer
