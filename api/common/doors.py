"""How much each service takes in before it looks at what was sent, and from whom."""

import re
from dataclasses import dataclass

KIB, MIB = 1024, 1024 * 1024
NONE = re.compile(r"(?!)")


@dataclass(frozen=True)
class Door:
    """What one service lets in. `body` is in bytes; paths that match `open` need no token; of requests whose method
    and path match `streams` the service itself reads the body, piece by piece, within a limit of its own. For those
    that match `outlasts`, while identity does not answer, what it said last of a token holds."""

    body: int = 112 * KIB
    open: re.Pattern[str] = re.compile(r"/")
    streams: re.Pattern[str] = NONE
    outlasts: re.Pattern[str] = NONE


DOORS = {
    "compute": Door(
        open=re.compile(r"/|/v2/?|/v2\.1/?"),
        outlasts=re.compile(r"(PUT|POST) /v2\.1/kilonova/hosts/[^/]+(/instances)?"),
    ),
    "network": Door(body=MIB),
    "volume": Door(open=re.compile(r"/|/v3/?")),
    "image": Door(
        body=MIB, open=re.compile(r"/|/versions/?"), streams=re.compile(r"PUT /v2/images/[^/]+/(file|stage)")
    ),
    "identity": Door(open=re.compile(r".*", re.DOTALL)),
}
"""Sizes are those of the services' own middleware (oslo_middleware.sizelimit, 114,688 bytes) where it is in their
pipeline. Identity checks tokens by itself, since its first request has none."""


def door(service: str) -> Door:
    return DOORS.get(service, Door())
