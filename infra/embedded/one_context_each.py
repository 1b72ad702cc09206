"""Keystone keeps what it read during a request in the thread's request context, and reads tokens before it has made
one of its own.

A thread that serves another request then begins with what the former one read: an id of its caches' generation that is
over by now. A role that was taken away was found in the old generation, and the token kept as valid in the new one.
Here each request begins without a context."""

from collections.abc import Callable, Iterable
from typing import Any

from oslo_context import context

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def wrap(application: Application) -> Application:
    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        vars(context._request_store).pop("context", None)
        return application(environ, start_response)

    return serve
