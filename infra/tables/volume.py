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
    """Size in GiB. `fault` says, in words its owner may read, what went wrong last.

    `task` is what a status of work (extending, uploading, reverting, downloading) needs to go on after a crash; a
    volume that grows counts as `target_size` already. `volume_type` repeats the type's name."""

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
    volume_type_id: str = Field(max_length=36)
    multiattach: bool = False
    image_id: str | None = Field(default=None, max_length=36)
    snapshot_id: str | None = Field(default=None, max_length=36, index=True)
    source_volid: str | None = Field(default=None, max_length=36, index=True)
    properties: dict[str, str] = Field(default_factory=dict, sa_type=JSON)
    image_metadata: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    fault: str | None = Field(default=None, max_length=1024)
    target_size: int | None = None
    task: dict[str, Any] | None = Field(default=None, sa_type=JSON)
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

    `secret` is the part of the export's name that nobody can guess. A `legacy` one was made by the volume's own
    actions (os-initialize_connection, os-attach), from before attachments had an API."""

    __tablename__ = "attachments"
    id: str = Field(primary_key=True, max_length=36)
    volume_id: str = Field(foreign_key="volumes.id", index=True)
    project_id: str = Field(max_length=64)
    instance_id: str | None = Field(default=None, max_length=36, index=True)
    status: str = Field(default="reserved", max_length=32)
    mode: str = Field(default="rw", max_length=2)
    connector: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    secret: str = Field(max_length=64)
    legacy: bool = False
    created_at: datetime = Field(default_factory=now)
    attached_at: datetime | None = None


class Quota(Base, table=True):
    """Limits of one project that differ from the defaults; -1 is unlimited. Its row is what creations lock."""

    __tablename__ = "quotas"
    project_id: str = Field(primary_key=True, max_length=64)
    limits: dict[str, int] = Field(default_factory=dict, sa_type=JSON)


class VolumeType(Base, table=True):
    """A kind of volume. `extra_specs` with multiattach "<is> True" lets several servers have its volumes at once."""

    __tablename__ = "volume_types"
    id: str = Field(primary_key=True, max_length=36)
    name: str = Field(max_length=255, unique=True)
    description: str | None = Field(default=None, max_length=255)
    is_public: bool = True
    extra_specs: dict[str, str] = Field(default_factory=dict, sa_type=JSON)
    created_at: datetime = Field(default_factory=now)


class TypeAccess(Base, table=True):
    """A project that may use a type which is not public."""

    __tablename__ = "volume_type_access"
    type_id: str = Field(primary_key=True, max_length=36, foreign_key="volume_types.id")
    project_id: str = Field(primary_key=True, max_length=64)


class DefaultType(Base, table=True):
    """The type of a project's volumes for which none was asked."""

    __tablename__ = "default_types"
    project_id: str = Field(primary_key=True, max_length=64)
    type_id: str = Field(max_length=36, foreign_key="volume_types.id")


class Transfer(Base, table=True):
    """An offer of a volume to whoever knows its key; only the key's salted hash is kept."""

    __tablename__ = "transfers"
    id: str = Field(primary_key=True, max_length=36)
    volume_id: str = Field(foreign_key="volumes.id", unique=True)
    source_project_id: str = Field(max_length=64, index=True)
    name: str | None = Field(default=None, max_length=255)
    salt: str = Field(max_length=64)
    key_hash: str = Field(max_length=128)
    no_snapshots: bool = False
    created_at: datetime = Field(default_factory=now)
