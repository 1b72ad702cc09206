"""What the control plane says of an instance that has something on a host."""

from enum import StrEnum

from pydantic import BaseModel


class Verdict(StrEnum):
    """Only GONE may be undone: each of these is said by a record, none by its absence."""

    CLAIMED = "claimed"  # here
    ELSEWHERE = "elsewhere"  # another host has the claim
    DELETED = "deleted"
    RELEASED = "released"  # a build that never came to run, or a shelved server, gave its claim on this host back
    UNKNOWN = "unknown"  # no record, or one that is older than what lies on the host


GONE = frozenset({Verdict.ELSEWHERE, Verdict.DELETED, Verdict.RELEASED})


class Known(BaseModel):
    """What the records say of one instance. `claims`: how many it has made so far; `held`: host → attempt of each."""

    deleted: bool = False
    launched: bool = False
    offloaded: bool = False  # shelved: what it was lies in its image and its volumes
    claims: int = 0
    held: dict[str, int] = {}
    recorded: bool = True  # False: there are claims, but no record
