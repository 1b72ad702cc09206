"""Chooses a host and claims it: Nova's filters and weighers in one transaction on the allocations."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update
from temporalio.exceptions import ApplicationError

from infra.contracts.errors import hopeless
from infra.contracts.hypervisor import FlavorFacts
from infra.contracts.placement import Claimed, ClaimRequest
from infra.database import Database
from infra.records import since
from infra.settings import Settings
from infra.tables.compute import Allocation, ComputeNode, Instance, Service

NO_VALID_HOST = "NoValidHost"
instances, allocations = Instance.__table__, Allocation.__table__  # type: ignore[attr-defined]
services, nodes = Service.__table__, ComputeNode.__table__  # type: ignore[attr-defined]
HOSTS = select(
    services.c.host, services.c.zone, services.c.disabled, services.c.forced_down, services.c.last_seen
).where(services.c.binary == "nova-compute")
INVENTORY = HOSTS.add_columns(nodes.c.vcpus, nodes.c.memory_mb, nodes.c.disk_gb).where(services.c.host == nodes.c.host)
USED = select(
    allocations.c.host,
    func.sum(allocations.c.vcpus),
    func.sum(allocations.c.memory_mb),
    func.sum(allocations.c.disk_gb),
    func.count(),
).group_by(allocations.c.host)
WANTED = select(
    instances.c.deleted_at,
    instances.c.claims,
    instances.c.vcpus,
    instances.c.memory_mb,
    instances.c.root_gb,
    allocations.c.host.label("held_host"),
    allocations.c.attempt,
).select_from(instances.outerjoin(allocations, allocations.c.consumer_id == instances.c.id))


@dataclass
class Candidate:
    """A compute host with what is used on it: vCPUs, MiB, GiB, builds running there."""

    facts: Any  # row of INVENTORY
    vcpus: int = 0
    memory_mb: int = 0
    disk_gb: int = 0
    instances: int = 0

    @property
    def host(self) -> str:
        return str(self.facts.host)


@dataclass(frozen=True)
class _Share:
    """vCPUs, MiB, GiB."""

    vcpus: int
    memory_mb: int
    root_gb: int


Filter = Callable[[Candidate, ClaimRequest, Any], bool]


class Scheduler:
    def __init__(self, database: Database, settings: Settings) -> None:
        self._db, self._settings = database, settings
        self._filters: dict[str, Filter] = {
            "RetryFilter": lambda c, want, _: c.host not in want.tried,
            "ComputeFilter": lambda c, *_: not c.facts.disabled and self._up(c.facts),
            "AvailabilityZoneFilter": lambda c, want, _: want.zone is None or c.facts.zone == want.zone,
            "RequestedHostFilter": lambda c, want, _: want.requested_host is None or c.host == want.requested_host,
            "CoreFilter": self._cores_fit,
            "RamFilter": self._memory_fits,
            "DiskFilter": self._disk_fits,
        }

    def claim(self, want: ClaimRequest) -> Claimed:
        with self._db.transaction() as store:
            instance = store.execute(WANTED.where(instances.c.id == want.instance_id)).one_or_none()
            if instance is None or instance.deleted_at is not None:
                raise hopeless(f"Instance {want.instance_id} is gone.", code=404)
            if instance.held_host is not None:
                if instance.held_host not in want.tried:
                    return self._claimed(store, instance.held_host, instance.attempt)
                store.execute(delete(allocations).where(allocations.c.consumer_id == want.instance_id))
            fitting = self._choose(store, want, instance)
            if not self._db.sqlite:  # another control worker may be claiming: take the node's lock, look again
                fitting = self._locked(store, fitting, want, instance)
            best = fitting[0]
            attempt = instance.claims + 1
            changed = {"claims": attempt, "host": best.host, "task_state": "spawning"}
            store.execute(update(instances).where(instances.c.id == want.instance_id).values(**changed))
            taken = {"vcpus": instance.vcpus, "memory_mb": instance.memory_mb, "disk_gb": instance.root_gb}
            held = {"consumer_id": want.instance_id, "instance_id": want.instance_id, "host": best.host}
            store.execute(insert(allocations), {**held, "attempt": attempt, **taken})
            return Claimed(host=best.host, zone=best.facts.zone, attempt=attempt)

    def lacking(self, store: Connection, host: str, wanted: FlavorFacts) -> list[str]:
        """The filters that find no room on the host for one guest of this flavor more."""
        share = _Share(wanted.vcpus, wanted.ram, wanted.disk)
        here = [c for c in self._candidates(store) if c.host == host]
        fits = ("CoreFilter", "RamFilter", "DiskFilter")
        nothing = ClaimRequest(instance_id="")
        return [name for name in fits for c in here if not self._filters[name](c, nothing, share)]

    def release(self, instance_id: str) -> None:
        with self._db.transaction() as store:
            store.execute(delete(allocations).where(allocations.c.instance_id == instance_id))

    def is_up(self, host: str) -> bool:
        with self._db.engine.connect() as store:
            found = store.execute(HOSTS.where(services.c.host == host)).first()
        return found is not None and self._up(found)

    def up_hosts(self) -> list[str]:
        with self._db.engine.connect() as store:
            found = store.execute(HOSTS).all()
        return sorted(service.host for service in found if self._up(service))

    def _claimed(self, store: Connection, host: str, attempt: int) -> Claimed:
        found = store.execute(HOSTS.where(services.c.host == host)).first()
        return Claimed(host=host, zone=found.zone if found else "nova", attempt=attempt)

    def _locked(
        self, store: Connection, fitting: list[Candidate], want: ClaimRequest, instance: Any
    ) -> list[Candidate]:
        for candidate in fitting:
            store.execute(select(nodes.c.host).where(nodes.c.host == candidate.host).with_for_update()).one()
            again = [c for c in self._choose(store, want, instance) if c.host == candidate.host]
            if again:
                return again + [c for c in fitting if c.host != candidate.host]
        raise _no_valid_host(want, {"claims": 0}, [])

    def _choose(self, store: Connection, want: ClaimRequest, instance: Any) -> list[Candidate]:
        """Hosts that pass, best first: most free memory, then fewest instances, then by name."""
        left = self._candidates(store)
        if want.forced_host:
            left = [c for c in left if c.host == want.forced_host and c.host not in want.tried]
        counts = {"start": len(left)}
        failed: list[str] = []
        filters = {} if want.forced_host else self._filters
        for name, passes in filters.items():
            failed += [f"{c.host} failed {name}" for c in left if not passes(c, want, instance)]
            left = [c for c in left if passes(c, want, instance)]
            counts[name] = len(left)
            if not left:
                break
        if not left:
            raise _no_valid_host(want, counts, failed)
        return sorted(left, key=lambda c: (c.memory_mb - self._memory_of(c), c.instances, c.host))

    def _candidates(self, store: Connection) -> list[Candidate]:
        used = {row[0]: row[1:] for row in store.execute(USED)}
        return [
            Candidate(facts, *(int(n) for n in used.get(facts.host, (0, 0, 0, 0))))
            for facts in store.execute(INVENTORY)
        ]

    def _up(self, service: Any) -> bool:
        deadline: datetime = since(self._settings.host_down_after_s)
        return not service.forced_down and service.last_seen is not None and service.last_seen > deadline

    def _memory_of(self, c: Candidate) -> float:
        return float((c.facts.memory_mb - self._settings.reserved_host_memory_mb) * self._settings.ram_allocation_ratio)

    def _cores_fit(self, c: Candidate, _: ClaimRequest, wanted: Any) -> bool:
        return bool(c.vcpus + wanted.vcpus <= c.facts.vcpus * self._settings.cpu_allocation_ratio)

    def _memory_fits(self, c: Candidate, _: ClaimRequest, wanted: Any) -> bool:
        return bool(c.memory_mb + wanted.memory_mb <= self._memory_of(c))

    def _disk_fits(self, c: Candidate, _: ClaimRequest, wanted: Any) -> bool:
        return bool(c.disk_gb + wanted.root_gb <= c.facts.disk_gb * self._settings.disk_allocation_ratio)


def _no_valid_host(want: ClaimRequest, counts: dict[str, int], failed: list[str]) -> ApplicationError:
    steps = ", ".join(f"{name}: {left}" for name, left in counts.items())
    message = f"No valid host was found. There are not enough hosts available. Hosts left after each filter: {steps}."
    if want.tried:
        message += " Tried before: " + "; ".join(f"{host}: {why}" for host, why in want.tried.items())
    why = "; ".join(failed + [f"{host} tried: {why}" for host, why in want.tried.items()])
    return ApplicationError(message, {"code": 500, "why": why}, type=NO_VALID_HOST, non_retryable=True)
