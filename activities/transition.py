"""Whether a server stands where an action may begin."""

from infra.contracts.errors import hopeless
from infra.contracts.operation import Stands, Transition


def require(found: Stands, transition: Transition) -> None:
    """409 in Nova's words unless the server is in a state that the action may begin from."""
    for attribute, state, good in (
        ("vm_state", found.vm_state, found.vm_state in transition.allowed),
        ("task_state", found.task_state, found.task_state in (None, *transition.during)),
    ):
        if not good:
            raise hopeless(
                f"Cannot '{transition.verb}' instance {found.id} while it is in {attribute} {state}", code=409
            )
    if found.launched_at is None:
        raise hopeless(f"Instance {found.id} is in an invalid state for '{transition.verb}'", code=409)
    if not found.host and not transition.without_host:
        raise hopeless(f"Instance {found.id} is not ready", code=409)
