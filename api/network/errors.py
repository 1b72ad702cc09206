"""Errors in Neutron's format: `{"NeutronError": {"type", "message", "detail"}}`."""

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from api.common.application import json_error
from api.common.errors import ServiceError

KINDS = {
    400: "HTTPBadRequest",
    403: "PolicyNotAuthorized",
    404: "HTTPNotFound",
    405: "HTTPMethodNotAllowed",
    409: "Conflict",
    501: "HTTPNotImplemented",
    503: "HTTPServiceUnavailable",
}


def render(error: ServiceError, request: Request) -> Response:
    """A 401 keeps the format of Keystone's middleware, as in front of the real Neutron."""
    if error.status == 401:
        body = {"code": 401, "title": "Unauthorized", "message": error.message}
        return JSONResponse({"error": body}, status_code=401)
    kind = error.title or KINDS.get(error.status, "HTTPInternalServerError")
    return json_error({"NeutronError": {"type": kind, "message": error.message, "detail": ""}}, error)


def bad(message: str, kind: str = "HTTPBadRequest") -> ServiceError:
    return ServiceError(400, message, title=kind)


def invalid(message: str) -> ServiceError:
    """400 InvalidInput, the type that Neutron gives to values that are well formed but make no sense."""
    return ServiceError(400, f"Invalid input for operation: {message}.", title="InvalidInput")


def bad_request(resource: str, message: str) -> ServiceError:
    """400 BadRequest, the type that Neutron gives to requests that a resource's state rules out."""
    return ServiceError(400, f"Bad {resource} request: {message}.", title="BadRequest")


def typed(status: int, kind: str, message: str) -> ServiceError:
    return ServiceError(status, message, title=kind)


def conflict(kind: str, message: str) -> ServiceError:
    return ServiceError(409, message, title=kind)


def forbidden(rule: str) -> ServiceError:
    return ServiceError(403, f"rule:{rule} is disallowed by policy", title="PolicyNotAuthorized")


def not_built(what: str) -> ServiceError:
    return ServiceError(501, f"Not implemented by this network service: {what}.", title="NotImplementedError")


NO_GROUP = ("SecurityGroupNotFound", "Security group {} does not exist")


def no_group(group_id: str) -> ServiceError:
    kind, words = NO_GROUP
    return ServiceError(404, words.format(group_id), title=kind)
