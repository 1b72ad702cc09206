"""Tables of the volume service. A row's status names the background work that is still to be done for it."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, MetaData
from sqlmodel import Field, SQLModel

metadata = MetaData()


def now() -> datetime:
    return datetime.now(UTC)


class Base(SQLModel):
    metadata = metadata


class Volume(Base, table=True):
    """Size in GiB. `fault` says, in words its owner may read, why the status is `error`."""

    __tablename__ = "volumes"
    id: str = Field(primary_key=True, max_length=36)
    project_id: str = Field(max_length=64, index=True)
    user_id: str = Field(max_length=64)
    name: str | None = Field(default=None, max_length=255)
    description: str | None = Field(default=None, max_length=255)
    size: int
    status: str = Field(default="creating", max_length=32, index=True)
    bootable: bool = False
    readonly: bool = False
    availability_zone: str = Field(max_length=255)
    volume_type: str = Field(max_length=255)
    image_id: str | None = Field(default=None, max_length=36)
    snapshot_id: str | None = Field(default=None, max_length=36, index=True)
    source_volid: str | None = Field(default=None, max_length=36, index=True)
    properties: dict[str, str] = Field(default_factory=dict, sa_type=JSON)
    image_metadata: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    fault: str | None = Field(default=None, max_length=1024)
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime | None = None


class Snapshot(Base, table=True):
    """A full copy of a volume at one moment; `bootable` and `image_metadata` go to the volumes made from it."""

    __tablename__ = "snapshots"
    id: str = Field(primary_key=True, max_length=36)
    volume_id: str = Field(foreign_key="volumes.id", index=True)
    project_id: str = Field(max_length=64, index=True)
    user_id: str = Field(max_length=64)
    name: str | None = Field(default=None, max_length=255)
    description: str | None = Field(default=None, max_length=255)
    size: int
    status: str = Field(default="creating", max_length=32)
    bootable: bool = False
    properties: dict[str, str] = Field(default_factory=dict, sa_type=JSON)
    image_metadata: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    fault: str | None = Field(default=None, max_length=1024)
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime | None = None


class Attachment(Base, table=True):
    """One user of a volume. `status`: reserved, attaching, attached, detaching; exported while attaching or attached.

    `secret` is the part of the export's name that nobody can guess."""

    __tablename__ = "attachments"
    id: str = Field(primary_key=True, max_length=36)
    volume_id: str = Field(foreign_key="volumes.id", index=True)
    project_id: str = Field(max_length=64)
    instance_id: str | None = Field(default=None, max_length=36, index=True)
    status: str = Field(default="reserved", max_length=32)
    mode: str = Field(default="rw", max_length=2)
    connector: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    secret: str = Field(max_length=64)
    created_at: datetime = Field(default_factory=now)
    attached_at: datetime | None = None


class Quota(Base, table=True):
    """Limits of one project that differ from the defaults; -1 is unlimited. Its row is what creations lock."""

    __tablename__ = "quotas"
    project_id: str = Field(primary_key=True, max_length=64)
    limits: dict[str, int] = Field(default_factory=dict, sa_type=JSON)
