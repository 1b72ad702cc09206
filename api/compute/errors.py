"""Nova's error format, and the errors that many resources share."""

from fastapi import Request, Response

from api.common.application import json_error
from api.common.errors import ServiceError

NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}
NOT_FOUND = "The resource could not be found."


def render(error: ServiceError, _request: Request) -> Response:
    """`{"itemNotFound": {"code": 404, "message": …}}`; a missing or bad token as keystonemiddleware words it."""
    if error.status == 401:
        return json_error({"error": {"code": 401, "title": "Unauthorized", "message": error.message}}, error)
    body: dict[str, object] = {"code": error.status, "message": error.message}
    if error.status in (413, 429) and (wait := error.headers.get("Retry-After")):
        body["retryAfter"] = wait
    return json_error({NAMES.get(error.status, "computeFault"): body}, error)


def bad_request(message: str) -> ServiceError:
    return ServiceError(400, message)


def forbidden(message: str) -> ServiceError:
    return ServiceError(403, message)


def not_found(message: str = NOT_FOUND) -> ServiceError:
    return ServiceError(404, message)


def conflict(message: str) -> ServiceError:
    return ServiceError(409, message)


def wrong_state(verb: str, server_id: str, attribute: str, state: str | None) -> ServiceError:
    """409: not while the server's `attribute` (vm_state, task_state) is this."""
    return conflict(f"Cannot '{verb}' instance {server_id} while it is in {attribute} {state}")


def not_implemented(what: str = "") -> ServiceError:
    """501 for a part of the API that is not built; `what` names it."""
    return ServiceError(501, what or "Unable to complete the requested operation: it is not implemented.")


def no_such_server(server_id: str) -> ServiceError:
    return not_found(f"Instance {server_id} could not be found.")


def is_locked(server_id: str) -> ServiceError:
    return conflict(f"Instance {server_id} is locked")


def not_ready(server_id: str) -> ServiceError:
    return conflict(f"Instance {server_id} is not ready")
