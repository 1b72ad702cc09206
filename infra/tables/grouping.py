"""Groups of servers and of hosts, by which the scheduler chooses (tables of the compute service)."""

from typing import Any

from pydantic import NaiveDatetime
from sqlalchemy import JSON
from sqlmodel import Field

from infra.tables.compute import Base, now


class ServerGroup(Base, table=True):
    """Servers that are to run on one host or on different ones. Its members are the servers that name it.

    `policy`: affinity, anti-affinity, soft-affinity, soft-anti-affinity. `rules`: `max_server_per_host` of
    anti-affinity."""

    __tablename__ = "server_groups"
    id: str = Field(primary_key=True, max_length=36)
    project_id: str = Field(max_length=64, index=True)
    user_id: str = Field(max_length=64)
    name: str = Field(max_length=255)
    policy: str
    rules: dict[str, int] = Field(default_factory=dict, sa_type=JSON)
    created_at: NaiveDatetime = Field(default_factory=now)


class Aggregate(Base, table=True):
    """Hosts with metadata in common. `zone`: their availability zone, where the aggregate gives one; the API shows it
    among the metadata."""

    __tablename__ = "aggregates"
    id: int | None = Field(default=None, primary_key=True)
    uuid: str = Field(max_length=36)
    name: str = Field(max_length=255, unique=True)
    zone: str | None = Field(default=None, max_length=255)
    details: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    created_at: NaiveDatetime = Field(default_factory=now)
    updated_at: NaiveDatetime | None = None


class AggregateHost(Base, table=True):
    __tablename__ = "aggregate_hosts"
    aggregate_id: int = Field(primary_key=True, foreign_key="aggregates.id", ondelete="CASCADE")
    host: str = Field(primary_key=True, max_length=255, index=True)
