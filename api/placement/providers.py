"""Compute hosts as Placement's resource providers, read from the compute service's own records.

What a provider has is the host's inventory with the scheduler's ratios and reserve; what is used of it, the claims."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlmodel import Session

from api.compute.records import hosts
from infra.settings import Settings
from infra.tables.compute import Allocation, ComputeNode, Instance
from infra.tables.grouping import Aggregate, AggregateHost

claims, instances = Allocation.__table__, Instance.__table__  # type: ignore[attr-defined]
aggregates, members = Aggregate.__table__, AggregateHost.__table__  # type: ignore[attr-defined]
VCPU, MEMORY_MB, DISK_GB = "VCPU", "MEMORY_MB", "DISK_GB"
Json = dict[str, Any]


@dataclass(frozen=True)
class Inventory:
    """`total` and `reserved` in units of the resource class; `ratio` multiplies what is left."""

    total: int
    reserved: int
    ratio: float

    @property
    def capacity(self) -> int:
        return int((self.total - self.reserved) * self.ratio)

    @property
    def shown(self) -> Json:
        """One server may take what the host has, as the scheduler's filters let it."""
        unit = {"min_unit": 1, "max_unit": max(1, self.capacity), "step_size": 1}
        return {"total": self.total, "reserved": self.reserved, **unit, "allocation_ratio": self.ratio}


@dataclass(frozen=True)
class Claim:
    """What a consumer holds of one host. `consumer_type`: INSTANCE, or MIGRATION for what a resize keeps."""

    consumer: str
    consumer_type: str
    host: str
    generation: int  # grows with each claim that the server makes
    resources: dict[str, int]
    project_id: str
    user_id: str


@dataclass(frozen=True)
class Provider:
    id: str
    name: str
    inventories: dict[str, Inventory]
    traits: list[str]
    aggregates: list[str] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    @property
    def used(self) -> dict[str, int]:
        """Of every class that the provider has."""
        return {name: sum(claim.resources.get(name, 0) for claim in self.claims) for name in self.inventories}

    @property
    def generation(self) -> int:
        """Another number whenever what is told of the provider is another: it is no count, since nobody writes here."""
        told = (self.inventories, self.traits, self.aggregates, self.claims)
        return zlib.crc32(repr(told).encode()) & 0x7FFFFFFF

    def has_room(self, wanted: dict[str, int]) -> bool:
        used = self.used
        return all(
            (there := self.inventories.get(name)) is not None and used[name] + amount <= there.capacity
            for name, amount in wanted.items()
        )


def load(session: Session, settings: Settings, provider_id: str | None = None) -> list[Provider]:
    """All providers, or the one with this id."""
    nodes = [node for node in hosts.all_nodes(session) if provider_id in (None, node.id)]
    disabled = {service.host for service in hosts.all_services(session, binary=hosts.COMPUTE) if service.disabled}
    where = [node.host for node in nodes]
    held: dict[str, list[Claim]] = {}
    for claim in claims_where(session, claims.c.host.in_(where)):
        held.setdefault(claim.host, []).append(claim)
    grouped: dict[str, list[str]] = {}
    joined = select(members.c.host, aggregates.c.uuid).where(aggregates.c.id == members.c.aggregate_id)
    for row in session.execute(joined.where(members.c.host.in_(where)).order_by(aggregates.c.id)):
        grouped.setdefault(row.host, []).append(row.uuid)
    return [
        Provider(
            id=node.id,
            name=node.host,
            inventories=inventories(node, settings),
            traits=["COMPUTE_NODE", *(["COMPUTE_STATUS_DISABLED"] if node.host in disabled else [])],
            aggregates=grouped.get(node.host, []),
            claims=held.get(node.host, []),
        )
        for node in nodes
    ]


def inventories(node: ComputeNode, settings: Settings) -> dict[str, Inventory]:
    """By resource class; a class of which the host has nothing is missing, as with Nova."""
    found = {
        VCPU: Inventory(node.vcpus, 0, settings.cpu_allocation_ratio),
        MEMORY_MB: Inventory(node.memory_mb, settings.reserved_host_memory_mb, settings.ram_allocation_ratio),
        DISK_GB: Inventory(node.disk_gb, 0, settings.disk_allocation_ratio),
    }
    return {name: inventory for name, inventory in found.items() if inventory.total > 0}


def claims_where(session: Session, *conditions: Any) -> Iterator[Claim]:
    """Claims that fulfil the conditions on `allocations` and `instances`; without what they hold nothing of."""
    query = select(claims, instances.c.project_id, instances.c.user_id).select_from(
        claims.outerjoin(instances, instances.c.id == claims.c.instance_id)
    )
    for row in session.execute(query.where(*conditions).order_by(claims.c.created_at, claims.c.consumer_id)):
        amounts = {VCPU: row.vcpus, MEMORY_MB: row.memory_mb, DISK_GB: row.disk_gb}
        yield Claim(
            consumer=row.consumer_id,
            consumer_type=row.kind.upper(),
            host=row.host,
            generation=row.attempt,
            resources={name: amount for name, amount in amounts.items() if amount},
            project_id=row.project_id or "",
            user_id=row.user_id or "",
        )


def total(held: Sequence[Claim]) -> dict[str, int]:
    """Sums by resource class, of the classes that anything is held of."""
    names = [name for name in (VCPU, MEMORY_MB, DISK_GB) if any(name in claim.resources for claim in held)]
    return {name: sum(claim.resources.get(name, 0) for claim in held) for name in names}
