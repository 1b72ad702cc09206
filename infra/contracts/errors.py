"""Failures, sorted once at the activity's edge: hopeless, this host cannot, or (anything else) transient."""

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from temporalio.exceptions import ApplicationError  # 20 MiB, which processes without Temporal do without

HOPELESS = "Hopeless"
HOST_CANNOT = "HostCannot"
NEIGHBOUR_AWAY = "NeighbourAway"
UNKNOWN_STEP = "NotFoundError"
"""Temporal's own, where a worker does not know a step: it is of an older release."""
FULL = (errno.ENOSPC, errno.EDQUOT)
BUSY = "Busy"
"""Another operation runs under the server's id."""


class NeighbourAway(Exception):
    """A service that this step needs does not answer, or not sensibly. The step waits for it, up to the operation's
    deadline; no host is to blame, and no other host would help."""


def hopeless(message: str, *, code: int = 500) -> "ApplicationError":
    """No retry and no other host can help. `message` may be read by the tenant; `code` goes into the fault."""
    from temporalio.exceptions import ApplicationError

    return ApplicationError(message, {"code": code}, type=HOPELESS, non_retryable=True)


def host_cannot(message: str) -> "ApplicationError":
    """This host cannot; its leftovers are undone and the next alternate is claimed."""
    from temporalio.exceptions import ApplicationError

    return ApplicationError(message, type=HOST_CANNOT, non_retryable=True)


def is_full(error: BaseException) -> bool:
    """Whether a file could not be written because its disk, or its owner's share of it, is full."""
    return isinstance(error, OSError) and error.errno in FULL


def disk_full() -> "ApplicationError":
    return host_cannot("no space left on the host's disk")


def refused(service: str, message: str, *, code: int) -> "ApplicationError":
    """Another service refuses for good (a 4xx that a repeat cannot better). Hopeless; the text names the service."""
    from temporalio.exceptions import ApplicationError

    words = f"The {service} service refused ({code}): {message}"
    return ApplicationError(words, {"code": code, "service": service}, type=HOPELESS, non_retryable=True)
