"""What every finished step on a host tells about itself, for the event list and the Web UI."""

from datetime import datetime

from pydantic import BaseModel, Field

MIB = 1 << 20
DEADLINE = "to be over by "
"""So begin the details of an operation's first step; then the moment, in UTC."""


def moved(heartbeat: object) -> str:
    """In words, what a step's last heartbeat says of bytes that it moves; "" when it says nothing of them."""
    found = in_bytes(heartbeat)
    return f"{100 * found[0] // found[1]} % of {-(-found[1] // MIB)} MiB" if found else ""


def in_bytes(heartbeat: object) -> tuple[int, int] | None:
    """The same in numbers: how many are moved, of how many."""
    if not isinstance(heartbeat, dict) or not heartbeat.get("of"):
        return None
    of = int(heartbeat["of"])
    return min(of, int(heartbeat.get("bytes", 0))), of


class Done(BaseModel):
    """Base of a step's result. The worker's interceptor fills in all but `parts` and `along`."""

    host: str = ""
    attempt: int = 1
    started_at: datetime | None = None
    finished_at: datetime | None = None
    parts: dict[str, float] = Field(default_factory=dict)  # seconds spent in each named part of the step
    along: "dict[str, Done]" = Field(default_factory=dict)  # steps that this one did first, by name: their results


class Step(BaseModel):
    """One step as `server event show` lists it. Times are UTC; `details` is the error's text, without secrets, or of
    an operation's first step its `DEADLINE`."""

    event: str
    host: str = ""
    attempt: int = 1
    start_time: datetime
    finish_time: datetime | None = None
    result: str | None = None
    details: str | None = None
    parts: dict[str, float] = {}

    @property
    def summary(self) -> str:
        words = self.event.replace("_", " ")
        return f"{words} on {self.host}" if self.host else words
