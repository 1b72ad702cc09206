"""What a look at other services is asked for, what it compares, and what came of it."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from infra.contracts.operation import Transition


class Begins(BaseModel):
    """An action that a look begins, as its row in workflows/actions.py has it."""

    action: str
    workflow: str
    transition: Transition
    deadline_s: float


class FollowRequest(BaseModel):
    refresh: Begins  # the record takes over what ports are now
    detach: Begins  # a port that is gone leaves its server
    extend: Begins  # the guest is told of a volume's size
    release: Begins | None = None  # a volume whose attachment was ended leaves its server


class FollowReport(BaseModel):
    """`away`: a service said nothing, so that nothing is known. Counts are of servers, `gone` of ports, `grown`
    and `released` of volumes."""

    servers: int = 0  # looked at
    refreshed: int = 0
    gone: int = 0
    grown: int = 0
    released: int = 0
    left: int = 0  # busy, or their operation failed: the next look finds them again
    away: str = ""


@dataclass(frozen=True, slots=True)
class ServerAtRest:
    """A server without an operation, as a look reads its record."""

    id: str
    project_id: str
    user_id: str
    vm_state: str
    host: str
    networks: list[dict[str, Any]]
    volumes: list[dict[str, Any]]
