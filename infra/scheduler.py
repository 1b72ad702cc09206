"""Chooses a host and claims it: Nova's filters and weighers in one transaction on the allocations."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func
from sqlalchemy import select as sql
from sqlmodel import Session, col, select
from temporalio.exceptions import ApplicationError

from infra.contracts.errors import hopeless
from infra.contracts.placement import Claimed, ClaimRequest
from infra.database import Database
from infra.records import since
from infra.settings import Settings
from infra.tables.compute import Allocation, ComputeNode, Instance, Service

NO_VALID_HOST = "NoValidHost"


@dataclass
class Candidate:
    """A compute host with what is used on it: vCPUs, MiB, GiB, builds running there."""

    service: Service
    node: ComputeNode
    vcpus: int = 0
    memory_mb: int = 0
    disk_gb: int = 0
    instances: int = 0

    @property
    def host(self) -> str:
        return self.node.host


Filter = Callable[[Candidate, ClaimRequest, Instance], bool]


class Scheduler:
    def __init__(self, database: Database, settings: Settings) -> None:
        self._db, self._settings = database, settings
        self._filters: dict[str, Filter] = {
            "RetryFilter": lambda c, want, _: c.host not in want.tried,
            "ComputeFilter": lambda c, *_: not c.service.disabled and self._up(c.service),
            "AvailabilityZoneFilter": lambda c, want, _: want.zone is None or c.service.zone == want.zone,
            "RequestedHostFilter": lambda c, want, _: want.requested_host is None or c.host == want.requested_host,
            "CoreFilter": self._cores_fit,
            "RamFilter": self._memory_fits,
            "DiskFilter": self._disk_fits,
        }

    def claim(self, want: ClaimRequest) -> Claimed:
        with self._db.write() as session:
            instance = session.get(Instance, want.instance_id)
            if instance is None or instance.deleted_at is not None:
                raise hopeless(f"Instance {want.instance_id} is gone.", code=404)
            held = session.get(Allocation, want.instance_id)
            if held is not None and held.host not in want.tried:
                return self._claimed(session, held.host, held.attempt, [])
            if held is not None:
                session.delete(held)
                session.flush()
            fitting = self._choose(session, want, instance)
            if not self._db.sqlite:  # another control worker may be claiming: take the node's lock, look again
                fitting = self._locked(session, fitting, want, instance)
            best, *others = fitting
            instance.claims += 1
            instance.host, instance.task_state = best.host, "spawning"
            session.add(instance)
            session.add(
                Allocation(
                    instance_id=instance.id,
                    host=best.host,
                    attempt=instance.claims,
                    vcpus=instance.vcpus,
                    memory_mb=instance.memory_mb,
                    disk_gb=instance.root_gb,
                )
            )
            return Claimed(
                host=best.host,
                zone=best.service.zone,
                attempt=instance.claims,
                alternates=[other.host for other in others[:5]],
            )

    def release(self, instance_id: str) -> None:
        with self._db.write() as session:
            session.execute(delete(Allocation).where(col(Allocation.instance_id) == instance_id))

    def is_up(self, host: str) -> bool:
        with self._db.read() as session:
            found = session.exec(select(Service).where(Service.binary == "nova-compute", Service.host == host)).first()
            return found is not None and self._up(found)

    def up_hosts(self) -> list[str]:
        with self._db.read() as session:
            found = session.exec(select(Service).where(Service.binary == "nova-compute")).all()
        return sorted(service.host for service in found if self._up(service))

    def _claimed(self, session: Session, host: str, attempt: int, alternates: list[str]) -> Claimed:
        found = session.exec(select(Service).where(Service.binary == "nova-compute", Service.host == host)).first()
        return Claimed(host=host, zone=found.zone if found else "nova", attempt=attempt, alternates=alternates)

    def _locked(
        self, session: Session, fitting: list[Candidate], want: ClaimRequest, instance: Instance
    ) -> list[Candidate]:
        for candidate in fitting:
            session.exec(select(ComputeNode.host).where(ComputeNode.host == candidate.host).with_for_update()).one()
            again = [c for c in self._choose(session, want, instance) if c.host == candidate.host]
            if again:
                return again + [c for c in fitting if c.host != candidate.host]
        raise _no_valid_host(want, {"claims": 0}, [])

    def _choose(self, session: Session, want: ClaimRequest, instance: Instance) -> list[Candidate]:
        """Hosts that pass, best first: most free memory, then fewest instances, then by name."""
        left = self._candidates(session)
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

    def _candidates(self, session: Session) -> list[Candidate]:
        rows = session.exec(
            select(Service, ComputeNode).where(
                Service.binary == "nova-compute", col(Service.host) == col(ComputeNode.host)
            )
        ).all()
        used = {
            row[0]: row[1:]
            for row in session.execute(
                sql(
                    col(Allocation.host),
                    func.sum(col(Allocation.vcpus)),
                    func.sum(col(Allocation.memory_mb)),
                    func.sum(col(Allocation.disk_gb)),
                    func.count(),
                ).group_by(col(Allocation.host))
            ).all()
        }
        return [
            Candidate(service, node, *(int(n) for n in used.get(node.host, (0, 0, 0, 0)))) for service, node in rows
        ]

    def _up(self, service: Service) -> bool:
        deadline: datetime = since(self._settings.host_down_after_s)
        return not service.forced_down and service.last_seen is not None and service.last_seen > deadline

    def _memory_of(self, c: Candidate) -> float:
        return (c.node.memory_mb - self._settings.reserved_host_memory_mb) * self._settings.ram_allocation_ratio

    def _cores_fit(self, c: Candidate, _: ClaimRequest, wanted: Instance) -> bool:
        return c.vcpus + wanted.vcpus <= c.node.vcpus * self._settings.cpu_allocation_ratio

    def _memory_fits(self, c: Candidate, _: ClaimRequest, wanted: Instance) -> bool:
        return c.memory_mb + wanted.memory_mb <= self._memory_of(c)

    def _disk_fits(self, c: Candidate, _: ClaimRequest, wanted: Instance) -> bool:
        return c.disk_gb + wanted.root_gb <= c.node.disk_gb * self._settings.disk_allocation_ratio


def _no_valid_host(want: ClaimRequest, counts: dict[str, int], failed: list[str]) -> ApplicationError:
    steps = ", ".join(f"{name}: {left}" for name, left in counts.items())
    message = f"No valid host was found. There are not enough hosts available. Hosts left after each filter: {steps}."
    if want.tried:
        message += " Tried before: " + "; ".join(f"{host}: {why}" for host, why in want.tried.items())
    why = "; ".join(failed + [f"{host} tried: {why}" for host, why in want.tried.items()])
    return ApplicationError(message, {"code": 500, "why": why}, type=NO_VALID_HOST, non_retryable=True)
