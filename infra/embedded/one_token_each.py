"""Keystone's authentication layer keeps the token of the request at hand in an attribute of its one instance.

With several threads a request then goes on with another request's token: wrong user, wrong roles. Here the attribute
is one of each thread's own."""

import threading
from typing import Any

from keystone.server.flask.request_processing.middleware.auth_context import AuthContextMiddleware

_here = threading.local()


def _get(_middleware: AuthContextMiddleware) -> Any:
    return getattr(_here, "token", None)


def _set(_middleware: AuthContextMiddleware, token: Any) -> None:
    _here.token = token


def install() -> None:
    """Call before Keystone's application is made."""
    AuthContextMiddleware.token = property(_get, _set)
