"""The steps of a worker: every activity of its resources, each of which must have declared itself."""

from typing import Any

from activities.step import STEPS


def activities_of(*resources: object) -> list[Any]:
    """Every activity method of `resources`; TypeError for a step that declares nothing (activities/step.py)."""
    found = []
    for resource in resources:
        for name in dir(resource):
            method = getattr(resource, name)
            if not hasattr(method, "__temporal_activity_definition"):
                continue
            if name not in STEPS:
                raise TypeError(f"{type(resource).__name__}.{name} does not declare itself as a step")
            found.append(method)
    return found
