"""What every finished step on a host tells about itself, for the event list and the Web UI."""

from datetime import datetime

from pydantic import BaseModel, Field


class Done(BaseModel):
    """Base of a step's result. The worker's interceptor fills in all but `parts`."""

    host: str = ""
    attempt: int = 1
    started_at: datetime | None = None
    finished_at: datetime | None = None
    parts: dict[str, float] = Field(default_factory=dict)  # seconds spent in each named part of the step
