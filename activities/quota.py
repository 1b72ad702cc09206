"""What a project may have, against what it has."""

from collections.abc import Mapping

from infra.contracts.errors import hopeless


def require_room(limits: Mapping[str, int], used: Mapping[str, int], more: Mapping[str, int]) -> None:
    """403 in Nova's words when `more` of a resource would exceed its limit; a limit below 0 is none."""
    for resource, wanted in more.items():
        limit = limits.get(resource, -1)
        if wanted > 0 and 0 <= limit < used[resource] + wanted:
            raise hopeless(
                f"Quota exceeded for {resource}: Requested {wanted}, but already used {used[resource]} of {limit} "
                f"{resource}",
                code=403,
            )
