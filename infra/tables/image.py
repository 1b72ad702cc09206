"""Tables of the image service. The data itself lies in files named by the image's id."""

from datetime import UTC, datetime

from sqlalchemy import BigInteger, MetaData, Text
from sqlmodel import Field, SQLModel

metadata = MetaData()


def now() -> datetime:
    return datetime.now(UTC)


class Base(SQLModel):
    metadata = metadata


class Image(Base, table=True):
    """Sizes in bytes, `min_disk` in GiB, `min_ram` in MiB. `upload_id` names the upload that may finish `saving`."""

    __tablename__ = "images"
    id: str = Field(primary_key=True, max_length=36)
    name: str | None = Field(default=None, max_length=255, index=True)
    owner: str | None = Field(default=None, max_length=255, index=True)
    status: str = Field(default="queued", max_length=30, index=True)
    visibility: str = Field(default="shared", max_length=16, index=True)
    protected: bool = False
    os_hidden: bool = False
    disk_format: str | None = Field(default=None, max_length=20)
    container_format: str | None = Field(default=None, max_length=20)
    min_disk: int = 0
    min_ram: int = 0
    size: int | None = Field(default=None, sa_type=BigInteger)
    virtual_size: int | None = Field(default=None, sa_type=BigInteger)
    checksum: str | None = Field(default=None, max_length=32, index=True)
    os_hash_algo: str | None = Field(default=None, max_length=64)
    os_hash_value: str | None = Field(default=None, max_length=128, index=True)
    upload_id: str | None = Field(default=None, max_length=36)
    created_at: datetime = Field(default_factory=now, index=True)
    updated_at: datetime = Field(default_factory=now)


class Property(Base, table=True):
    """A property beyond Glance's own fields, always text."""

    __tablename__ = "image_properties"
    image_id: str = Field(primary_key=True, max_length=36, foreign_key="images.id", ondelete="CASCADE")
    name: str = Field(primary_key=True, max_length=255)
    value: str = Field(sa_type=Text)


class Tag(Base, table=True):
    __tablename__ = "image_tags"
    image_id: str = Field(primary_key=True, max_length=36, foreign_key="images.id", ondelete="CASCADE")
    value: str = Field(primary_key=True, max_length=255, index=True)


class Member(Base, table=True):
    """A project with which a shared image is shared; it shows in the project's lists once it is `accepted`."""

    __tablename__ = "image_members"
    image_id: str = Field(primary_key=True, max_length=36, foreign_key="images.id", ondelete="CASCADE")
    member_id: str = Field(primary_key=True, max_length=255, index=True)
    status: str = Field(default="pending", max_length=20)
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)
