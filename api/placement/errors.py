"""Placement's error format: `{"errors": [{status, title, detail, request_id, code}]}`."""

from fastapi import Request, Response

from api.common.application import json_error
from api.common.errors import ServiceError

KINDS = {
    400: (
        "Bad Request",
        "The server could not comply with the request since it is either malformed or otherwise incorrect.",
    ),
    403: ("Forbidden", "Access was denied to this resource."),
    404: ("Not Found", "The resource could not be found."),
    405: ("Method Not Allowed", "The method is not allowed for this resource."),
    406: ("Not Acceptable", "The resource could not be generated that was acceptable to your browser."),
    409: ("Conflict", "There was a conflict when trying to complete your request."),
    501: ("Not Implemented", "The request method is not implemented for this server."),
    503: ("Service Unavailable", "The server is currently unavailable. Please try again at a later time."),
}
CODED = 23
"""Errors have a `code` from microversion 1.23 on."""
UNDEFINED = "placement.undefined_code"


def render(error: ServiceError, request: Request) -> Response:
    """One error, as the API guideline "Errors" has it; a missing or bad token as keystonemiddleware words it."""
    if error.status == 401:
        return json_error({"error": {"code": 401, "title": "Unauthorized", "message": error.message}}, error)
    state = request.scope.get("state", {})
    title, explanation = KINDS.get(error.status, ("Error", "The request cannot be fulfilled."))
    found: dict[str, object] = {
        "status": error.status,
        "title": title,
        "detail": f"{explanation}\n\n {error.message}  ",
        "request_id": state.get("request_id", ""),
        **error.details,
    }
    if state.get("version", 0) >= CODED:
        found["code"] = UNDEFINED
    return json_error({"errors": [found]}, error)


def bad_request(message: str) -> ServiceError:
    return ServiceError(400, message)


def not_found(message: str) -> ServiceError:
    return ServiceError(404, message)
