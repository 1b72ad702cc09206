"""A request that is to begin later, by itself, unless the server's state has changed meanwhile."""

from datetime import datetime

from pydantic import BaseModel

from infra.contracts.operation import ActionRequest
from infra.contracts.requests import Cause, DeleteRequest


class Due(BaseModel):
    """At `at` (UTC) `workflow` begins with `request`, while `cause` holds. No token goes along: it would be too old."""

    instance_id: str
    at: datetime
    cause: Cause
    workflow: str
    request: ActionRequest | DeleteRequest
    tries: int = 0
