"""Inputs and results of the scheduling steps, and what the scheduler sees of hosts."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydantic import BaseModel


class Company(BaseModel):
    """The server group of the server that is placed. `members`: its other servers that have a host. `most`: how many
    of the group one host may have under anti-affinity."""

    policy: str
    most: int = 1
    members: list[str] = []


class ClaimRequest(BaseModel):
    instance_id: str
    zone: str | None = None
    forced_host: str | None = None  # skips the filters
    requested_host: str | None = None
    # put in by the store, which knows the server's hints and its group, whatever operation asks for a host
    same_host: list[str] = []
    different_host: list[str] = []
    company: Company | None = None
    needs: frozenset[str] = frozenset()  # abilities, see `infra.contracts.abilities`
    tried: dict[str, str] = {}  # hosts that could not, and why
    attempt: int = 0  # of the claim to be released, once it is known; 0: whichever there is


class Claimed(BaseModel):
    host: str
    zone: str = "nova"
    attempt: int  # grows with every new claim of this instance; the host checks it before the guest runs
    has_image: bool = False  # as its last report says; a host of an older release tells of none


class HostRef(BaseModel):
    host: str


class Reported(Protocol):
    """A service's record, as far as it tells whether its host is up."""

    @property
    def forced_down(self) -> bool: ...
    @property
    def last_seen(self) -> datetime | None: ...


@dataclass(frozen=True)
class Ear:
    """A time in which an API took hosts' reports without a pause."""

    since: datetime
    until: datetime


@dataclass(frozen=True)
class Share:
    """What one guest takes, or a host has."""

    vcpus: int
    memory_mb: int  # MiB
    disk_gb: int  # GiB


@dataclass(frozen=True)
class Candidate:
    """A compute host with what is claimed on it."""

    host: str
    zone: str
    disabled: bool
    forced_down: bool
    last_seen: datetime | None
    has: Share
    used: Share
    instances: int = 0
    failed_builds: int = 0  # since the last one that succeeded, the last of them at `failed_at`
    failed_at: datetime | None = None
    abilities: frozenset[str] = frozenset()
    ears: tuple[Ear, ...] = ()  # of a host that did not report lately: when its report would have been heard
    servers: frozenset[str] = frozenset()  # of those that the request names, or its group has: what is here

    def of(self, wanted: Iterable[str]) -> int:
        """How many of these servers are here."""
        return len(self.servers.intersection(wanted))
