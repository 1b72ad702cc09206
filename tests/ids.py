"""Ids of things that belong to an instance, as the API chooses them before the things exist."""

from uuid import UUID, uuid5


def stable_id(instance_id: str, what: str) -> str:
    """`what`: `port/<n>`, `volume/<n>` or `attachment/<n>`."""
    return str(uuid5(UUID(instance_id), what))
