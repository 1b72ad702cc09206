"""Moved to infra.contracts.errors."""

from infra.contracts.errors import HOPELESS, HOST_CANNOT, hopeless, host_cannot  # noqa: F401
