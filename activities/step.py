"""Moved to infra.contracts.step."""

from infra.contracts.step import Done, Step  # noqa: F401
