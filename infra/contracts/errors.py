"""Failures, sorted once at the activity's edge: hopeless, this host cannot, or (anything else) transient."""

from temporalio.exceptions import ApplicationError

HOPELESS = "Hopeless"
HOST_CANNOT = "HostCannot"


def hopeless(message: str, *, code: int = 500) -> ApplicationError:
    """No retry and no other host can help. `message` may be read by the tenant; `code` goes into the fault."""
    return ApplicationError(message, {"code": code}, type=HOPELESS, non_retryable=True)


def host_cannot(message: str) -> ApplicationError:
    """This host cannot; its leftovers are undone and the next alternate is claimed."""
    return ApplicationError(message, type=HOST_CANNOT, non_retryable=True)
