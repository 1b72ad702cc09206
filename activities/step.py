"""Steps declare themselves: what they hold, what they weigh, how long one try may take, how often they are tried.

Interceptor, worker, slots, saga and fault tests read what is declared here; a step without it does not start."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, TypeVar

from temporalio import activity

Method = TypeVar("Method", bound=Callable[..., Any])
HEARTBEAT = timedelta(seconds=20)


class Where(Enum):
    """RECORD: a local activity on the control worker, a few milliseconds of database work.
    CONTROL: an ordinary activity there, for what may wait on other services. HOST: on the queue of one host."""

    RECORD = "record"
    CONTROL = "control"
    HOST = "host"


@dataclass(frozen=True)
class Declared:
    """`resource`: steps that share it never run at once for one instance, not even when one was given up and goes on.
    `budget`: of one try. `tries`: after so many a failure that is not a neighbour's is the host's fault; 0: never."""

    name: str
    where: Where
    resource: str | None
    heavy: bool
    budget: timedelta
    tries: int


STEPS: dict[str, Declared] = {}
"""Activity type → what it declares."""


def step(
    *, on: Where = Where.HOST, resource: str | None = None, heavy: bool = False, budget: timedelta, tries: int = 7
) -> Callable[[Method], Method]:
    """A method that runs in a thread. A cancel is asked for where the step waits (`infra.interruption`), never thrown
    into its thread: there it could hit between taking a lock and holding it (docs/decisions/0007)."""

    def declare(method: Method) -> Method:
        name = method.__name__
        if name in STEPS:
            raise ValueError(f"two steps are called {name}")
        STEPS[name] = Declared(name, on, resource, heavy, budget, tries)
        return activity.defn(no_thread_cancel_exception=True)(method)

    return declare


def record_step(method: Method) -> Method:
    """A short database step. One try may take as long as the store may keep it waiting for its lock."""
    return step(on=Where.RECORD, budget=timedelta(seconds=10), tries=0)(method)


def declared(do: Callable[..., Any]) -> Declared:
    return STEPS[do.__name__]
