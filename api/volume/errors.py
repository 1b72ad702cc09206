"""Errors of the volume service, in the format and the words that Cinder's clients know."""

from fastapi import Request, Response

from api.common.application import json_error
from api.common.errors import ServiceError

KINDS = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    406: "notAcceptable",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    501: "notImplemented",
    503: "serviceUnavailable",
}


def render(error: ServiceError, request: Request) -> Response:
    """`{kind: {"code": status, "message": words}}`; over a limit, also when to try again (0)."""
    fault: dict[str, object] = {"code": error.status, "message": error.message}
    if error.status == 413:
        fault["retryAfter"] = "0"
        error.headers.setdefault("Retry-After", "0")
    return json_error({KINDS.get(error.status, "computeFault"): fault}, error)


def volume_not_found(volume_id: str) -> ServiceError:
    return ServiceError(404, f"Volume {volume_id} could not be found.")


def snapshot_not_found(snapshot_id: str) -> ServiceError:
    return ServiceError(404, f"Snapshot {snapshot_id} could not be found.")


NOT_FOUND = "Volume attachment could not be found with filter: attachment_id = {}."


def attachment_not_found(attachment_id: str) -> ServiceError:
    return ServiceError(404, NOT_FOUND.format(attachment_id))


def invalid_volume(reason: str) -> ServiceError:
    return ServiceError(400, f"Invalid volume: {reason}")


def invalid_snapshot(reason: str) -> ServiceError:
    return ServiceError(400, f"Invalid snapshot: {reason}")


def invalid_input(reason: str) -> ServiceError:
    return ServiceError(400, f"Invalid input received: {reason}")


def exists(kind: str, object_id: str) -> ServiceError:
    return ServiceError(409, f"{kind} {object_id} already exists.")


def not_built(what: str) -> ServiceError:
    return ServiceError(501, f"{what} is not supported by this volume service.")
