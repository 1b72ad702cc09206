"""Errors of the image service, in the three forms that Glance's clients may ask for: HTML, JSON, plain text."""

from html import escape
from http import HTTPStatus

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse

from api.common.errors import ServiceError

TITLES = {413: "Request Entity Too Large", 416: "Requested Range Not Satisfiable"}


def render(error: ServiceError, request: Request) -> Response:
    """HTML for who takes it or says nothing (openstacksdk's uploads), JSON for who wants only that, else text."""
    title = TITLES.get(error.status) or HTTPStatus(error.status).phrase
    code = f"{error.status} {title}"
    accept = request.headers.get("accept") or "*/*"
    if "html" in accept or "*/*" in accept:
        page = (
            f"<html>\n <head>\n  <title>{code}</title>\n </head>\n <body>\n  <h1>{code}</h1>\n"
            f"  {escape(error.message)}<br /><br />\n\n\n\n </body>\n</html>"
        )
        return HTMLResponse(page, status_code=error.status)
    if "application/json" in accept:
        return JSONResponse({"message": error.message, "code": code, "title": title}, status_code=error.status)
    return PlainTextResponse(f"{code}\n\n{error.message}\n\n   ", status_code=error.status)


def image_not_found(image_id: str) -> ServiceError:
    return ServiceError(404, f"No image found with ID {image_id}")


def invalid(message: str) -> ServiceError:
    return ServiceError(400, message)


def forbidden(message: str) -> ServiceError:
    return ServiceError(403, message)


def conflict(message: str) -> ServiceError:
    return ServiceError(409, message)


def too_many(what: str, limit: int) -> ServiceError:
    return ServiceError(413, f"The limit has been exceeded on the number of allowed {what}. The maximum is {limit}.")


def not_built(what: str) -> ServiceError:
    return ServiceError(501, f"{what} is not supported by this image service.")
