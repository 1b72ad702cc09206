"""Identity's errors in Keystone's words and format: {"error": {"code", "title", "message"}}."""

from http import HTTPStatus

from fastapi import Request, Response

from api.common.application import json_error
from api.common.errors import ServiceError


def render(error: ServiceError, _request: Request) -> Response:
    title = error.title or HTTPStatus(error.status).phrase
    return json_error({"error": {"code": error.status, "title": title, "message": error.message}}, error)


class NotFound(ServiceError):
    def __init__(self, kind: str, wanted: str) -> None:
        super().__init__(404, f"Could not find {kind}: {wanted}.")


class Forbidden(ServiceError):
    """403 for `action`, an oslo.policy rule such as `identity:create_user`."""

    def __init__(self, action: str) -> None:
        super().__init__(403, f"You are not authorized to perform the requested action: {action}.")


class Conflict(ServiceError):
    def __init__(self, kind: str, details: str) -> None:
        super().__init__(409, f"Conflict occurred attempting to store {kind} - {details}.")


class Invalid(ServiceError):
    def __init__(self, message: str) -> None:
        super().__init__(400, message)


class SignInRefused(ServiceError):
    """401 for every way a sign-in can fail, in the same words, so that none tells more than another."""

    def __init__(self) -> None:
        super().__init__(401, "The request you have made requires authentication.")


class NotBuilt(ServiceError):
    def __init__(self, what: str) -> None:
        super().__init__(501, f"{what}: the action you have requested has not been implemented.")
