"""Moved to infra.contracts.requests."""

from infra.contracts.requests import Accepted, BootRequest, DeleteRequest, Fault, Requester  # noqa: F401
