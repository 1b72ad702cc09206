"""Claims of servers on hosts: each is made in one transaction with the look at what is free (table allocations)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from infra.contracts import abilities, states
from infra.contracts.errors import hopeless
from infra.contracts.hypervisor import local_gb
from infra.contracts.placement import Candidate, Claimed, ClaimRequest, Ear, Reported, Share
from infra.database import Database
from infra.stores import listening, server_groups
from infra.tables.compute import Allocation, ComputeNode, Instance, Service, now

instances, allocations = Instance.__table__, Allocation.__table__  # type: ignore[attr-defined]
services, nodes = Service.__table__, ComputeNode.__table__  # type: ignore[attr-defined]
HOSTS = select(
    services.c.host, services.c.zone, services.c.disabled, services.c.forced_down, services.c.last_seen
).where(services.c.binary == "nova-compute")
INVENTORY = HOSTS.add_columns(
    nodes.c.vcpus,
    nodes.c.memory_mb,
    nodes.c.disk_gb,
    nodes.c.failed_builds,
    nodes.c.failed_at,
    nodes.c.facts["abilities"].label("abilities"),
).where(services.c.host == nodes.c.host)
USED = select(
    allocations.c.host,
    func.sum(allocations.c.vcpus),
    func.sum(allocations.c.memory_mb),
    func.sum(allocations.c.disk_gb),
    func.count(),
).group_by(allocations.c.host)
PLACES = select(allocations.c.host, allocations.c.instance_id)
WANTED = select(
    instances.c.deleted_at,
    instances.c.vm_state,
    instances.c.claims,
    instances.c.vcpus,
    instances.c.memory_mb,
    instances.c.root_gb,
    instances.c.image_ref,
    instances.c.flavor,
    instances.c.image_properties,
    instances.c.trusted_certificates,
    instances.c.local_disks,
    instances.c.volumes,
    instances.c.scheduler_hints,
    instances.c.server_group_id,
    allocations.c.host.label("held_host"),
    allocations.c.attempt,
).select_from(instances.outerjoin(allocations, allocations.c.consumer_id == instances.c.id))


# What every build uses is made once: to make a statement anew takes longer than SQLite's part of it.
WANTED_BY = WANTED.where(instances.c.id == bindparam("server"))
PLACED = (
    update(instances)
    .where(instances.c.id == bindparam("server"))
    .values(claims=bindparam("number"), host=bindparam("at"))
)
SPAWNING = PLACED.values(task_state=states.SPAWNING)
HOLD = insert(allocations)
IMAGES_ON = select(nodes.c.facts["images"]).where(nodes.c.host == bindparam("at"))


class Decides(Protocol):
    """What the store is told by the scheduler, which is pure: see `activities.scheduling`."""

    def choose(
        self, want: ClaimRequest, share: Share, candidates: Sequence[Candidate], at: datetime
    ) -> list[Candidate]: ...
    def lacking(self, share: Share, host: Candidate, at: datetime) -> list[str]: ...
    def up(self, service: Reported, at: datetime, ears: Sequence[Ear] = ()) -> bool: ...


class Claims:
    def __init__(self, database: Database, scheduler: Decides) -> None:
        self._db, self._scheduler = database, scheduler

    def claim(self, want: ClaimRequest) -> Claimed:
        """See `activities.placement.Placement.claim_host`."""
        with self._db.transaction() as store:
            instance = store.execute(WANTED_BY, {"server": want.instance_id}).one_or_none()
            if instance is None or instance.deleted_at is not None:
                raise hopeless(f"Instance {want.instance_id} is gone.", code=404)
            if instance.held_host is not None:
                if instance.held_host not in want.tried:
                    return self._claimed(store, instance.held_host, instance.attempt)
                store.execute(delete(allocations).where(allocations.c.consumer_id == want.instance_id))
            disk_gb = local_gb(instance.root_gb, instance.flavor, instance.image_ref)
            share = Share(instance.vcpus, instance.memory_mb, disk_gb)
            best = self.place(store, want.model_copy(update={"needs": needs_of(instance)}), instance, share)
            attempt = instance.claims + 1
            shown = SPAWNING if instance.vm_state == states.BUILDING else PLACED
            store.execute(shown, {"server": want.instance_id, "number": attempt, "at": best.host})
            taken = {"vcpus": share.vcpus, "memory_mb": share.memory_mb, "disk_gb": share.disk_gb}
            held = {"consumer_id": want.instance_id, "instance_id": want.instance_id, "host": best.host}
            store.execute(HOLD, {**held, "attempt": attempt, **taken})
            here = not instance.trusted_certificates and _has_image(store, best.host, instance.image_ref)
            return Claimed(host=best.host, zone=best.zone, attempt=attempt, has_image=here)

    def place(self, store: Connection, want: ClaimRequest, instance: Any, share: Share) -> Candidate:
        """The best host for the server, by its hints and its group; Hopeless `NoValidHost` when there is none."""
        hints = {name: instance.scheduler_hints.get(name, []) for name in ("same_host", "different_host")}
        company = server_groups.company_of(store, self._db, want.instance_id, instance.server_group_id)
        return self._best(store, want.model_copy(update={"company": company, **hints}), share)

    def lacking(self, store: Connection, host: str, share: Share) -> list[str]:
        """The filters that find no room on the host for one guest more that takes so much."""
        here = [c for c in _candidates(store) if c.host == host]
        return [name for c in here for name in self._scheduler.lacking(share, c, now())]

    def release(self, instance_id: str, attempt: int = 0) -> None:
        """The claim of one attempt; 0: every claim on the server."""
        with self._db.transaction() as store:
            held = delete(allocations).where(allocations.c.instance_id == instance_id)
            store.execute(held.where(allocations.c.attempt == attempt) if attempt else held)

    def is_up(self, host: str) -> bool:
        with self._db.engine.connect() as store:
            found = store.execute(HOSTS.where(services.c.host == host)).first()
            return found is not None and self._is_up(store, found)

    def up_hosts(self) -> list[str]:
        with self._db.engine.connect() as store:
            return sorted(service.host for service in store.execute(HOSTS).all() if self._is_up(store, service))

    def _is_up(self, store: Connection, service: Reported) -> bool:
        """When its report would have been heard is asked of those alone that did not report lately."""
        return self._scheduler.up(service, now()) or self._scheduler.up(service, now(), listening.ears(store))

    def _known(self, store: Connection, want: ClaimRequest) -> list[Candidate]:
        found, at = _candidates(store, want), now()
        if all(self._scheduler.up(c, at) for c in found):
            return found
        heard = listening.ears(store)
        return [replace(c, ears=heard) for c in found]

    def _claimed(self, store: Connection, host: str, attempt: int) -> Claimed:
        found = store.execute(HOSTS.where(services.c.host == host)).first()
        return Claimed(host=host, zone=found.zone if found else "nova", attempt=attempt)

    def _best(self, store: Connection, want: ClaimRequest, share: Share) -> Candidate:
        fitting = self._scheduler.choose(want, share, self._known(store, want), now())
        if self._db.sqlite:
            return fitting[0]
        for candidate in fitting:  # another control worker may be claiming: take the node's lock, look again
            store.execute(select(nodes.c.host).where(nodes.c.host == candidate.host).with_for_update()).one()
            again = self._scheduler.choose(want, share, self._known(store, want), now())
            if any(c.host == candidate.host for c in again):
                return candidate
        return self._scheduler.choose(want, share, [], now())[0]  # raises: all were taken meanwhile


def _has_image(store: Connection, host: str, image_ref: str | None) -> bool:
    """Whether the host's last report names the image; one of an older release names none."""
    named = store.scalar(IMAGES_ON, {"at": host}) if image_ref else None
    return isinstance(named, list) and image_ref in named


def unable(store: Connection, host: str, needs: frozenset[str]) -> frozenset[str]:
    """What of these abilities the host does not have."""
    known = store.scalar(select(nodes.c.facts["abilities"]).where(nodes.c.host == host))
    return needs - abilities_in(known)


def abilities_in(told: object) -> frozenset[str]:
    """As the host's heartbeat told them; one of an older release tells none."""
    return frozenset(told if isinstance(told, list) else ())


def needs_of(instance: Any) -> frozenset[str]:
    local, signed = bool(instance.local_disks), bool(instance.trusted_certificates)
    needs = abilities.needed(instance.image_properties or {}, instance.flavor, local_disks=local, signed=signed)
    for volume in instance.volumes or ():
        needs |= {abilities.SCSI_VOLUMES} if volume.get("bus") == "scsi" else set()
        needs |= {abilities.VOLUME_TYPES} if volume.get("volume_type") else set()
    return frozenset(needs)


def _candidates(store: Connection, want: ClaimRequest | None = None) -> list[Candidate]:
    used = {row[0]: row[1:] for row in store.execute(USED)}
    found = [_candidate(row, [int(n) for n in used.get(row.host, (0, 0, 0, 0))]) for row in store.execute(INVENTORY)]
    named = [*want.same_host, *want.different_host, *(want.company.members if want.company else ())] if want else []
    if not named:
        return found
    where: dict[str, set[str]] = {}
    for row in store.execute(PLACES.where(allocations.c.instance_id.in_(named))):
        where.setdefault(row.host, set()).add(row.instance_id)
    return [replace(c, servers=frozenset(where.get(c.host, ()))) for c in found]


def _candidate(row: Row[Any], used: list[int]) -> Candidate:
    vcpus, memory_mb, disk_gb, count = used
    return Candidate(
        host=row.host,
        zone=row.zone,
        disabled=row.disabled,
        forced_down=row.forced_down,
        last_seen=row.last_seen,
        has=Share(row.vcpus, row.memory_mb, row.disk_gb),
        used=Share(vcpus, memory_mb, disk_gb),
        instances=count,
        failed_builds=row.failed_builds,
        failed_at=row.failed_at,
        abilities=abilities_in(row.abilities),
    )
