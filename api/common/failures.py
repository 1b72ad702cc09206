"""What an exception that a route did not expect tells the client: one mapping for all services."""

import sys

import httpx
from keystoneauth1 import exceptions as keystone
from sqlalchemy import exc as database

from api.common.errors import ServiceError
from api.common.storable import Unstorable

AWAY = (database.OperationalError, database.InterfaceError, database.TimeoutError)
"""The store does not answer, is full or too busy. Nothing is known then, so nothing is said to be absent."""
NEIGHBOUR = (httpx.HTTPError, keystone.ClientException)
UNSTORABLE = (OverflowError, UnicodeError, database.DataError)
"""A value that is well formed and that no column takes."""


def of(error: Exception, request_id: str) -> ServiceError:
    """The refusal for `error`; its own text stays in the log."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, Unstorable):
        return ServiceError(400, ": ".join(filter(None, ("Malformed request body", str(error)))))
    if isinstance(error, UNSTORABLE) or _wraps(error, UNSTORABLE):
        return ServiceError(400, "Invalid input: a value of the request is out of range.")
    if isinstance(error, database.IntegrityError):
        return ServiceError(409, "The resource was changed by another request at the same time; try again.")
    if isinstance(error, AWAY):
        return ServiceError(503, "The service's store does not answer; try again.")
    if isinstance(error, NEIGHBOUR) or _is_temporal(error):
        return ServiceError(503, "A service that this one needs does not answer; try again.")
    return ServiceError(500, f"Unexpected API Error. ({type(error).__name__}) Request id: {request_id}")


def _is_temporal(error: Exception) -> bool:
    """Where nothing has imported Temporal's client, which is 20 MiB, nothing raises its errors."""
    service = sys.modules.get("temporalio.service")
    return service is not None and isinstance(error, service.RPCError)


def _wraps(error: Exception, kinds: tuple[type[Exception], ...]) -> bool:
    return isinstance(error, database.StatementError) and isinstance(error.orig, kinds)
