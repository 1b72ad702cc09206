"""What a step on a guest carries: the claim under which it acts."""

from pydantic import BaseModel


class Guarded(BaseModel):
    """A step on the guest that claim `attempt` of this instance holds."""

    instance_id: str
    attempt: int
