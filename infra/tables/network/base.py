"""What all tables of the network service share: metadata, standard attributes, and numbers of 128 bits."""

import uuid
from datetime import UTC, datetime

from sqlalchemy import Dialect, MetaData, String
from sqlalchemy.orm import registry
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def now() -> datetime:
    return datetime.now(UTC)


def new_id() -> str:
    return str(uuid.uuid4())


class AddressNumber(TypeDecorator[int]):
    """An IPv4 or IPv6 address as an integer, kept as 32 hexadecimal digits: their order is the numbers' order.

    No integer type of SQLite or PostgreSQL has the 128 bits of an IPv6 address."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        return None if value is None else f"{value:032x}"

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value, 16)


class Base(SQLModel, registry=registry(metadata=metadata)):
    """Base of every table of this store."""


class Standard(Base):
    """What every resource has: owner, words, revision, times."""

    id: str = Field(default_factory=new_id, primary_key=True, max_length=36)
    project_id: str = Field(index=True, max_length=64)
    description: str = Field(default="", max_length=255)
    revision_number: int = 1
    created_at: datetime = Field(default_factory=now)
    updated_at: datetime = Field(default_factory=now)

    def touch(self) -> None:
        self.revision_number += 1
        self.updated_at = now()


class Named(Standard):
    name: str = Field(default="", index=True, max_length=255)
