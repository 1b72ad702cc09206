"""Errors with an HTTP status; each service renders them in its own format."""

from typing import Any


class ServiceError(Exception):
    """Ends a request with `status` and `message` (words a tenant may read).

    `title` is the service's own name for the kind of error (Nova `itemNotFound`, Neutron `PortNotFound`, Keystone
    `Not Found`); services fill in their default for the status when it is empty. `headers` go with the answer."""

    def __init__(
        self, status: int, message: str, *, title: str = "", headers: dict[str, str] | None = None, **details: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.title = title
        self.headers = headers or {}
        self.details = details
