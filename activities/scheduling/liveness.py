"""When a host counts as up."""

from datetime import datetime, timedelta

from infra.contracts.placement import Reported


def is_up(service: Reported, at: datetime, patience: timedelta) -> bool:
    """Reported within `patience` before `at`, and not forced down."""
    return not service.forced_down and service.last_seen is not None and at - service.last_seen < patience
