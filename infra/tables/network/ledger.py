"""Tables of what belongs to no single resource: tags, quotas, and the row that writers lock."""

from sqlalchemy import BigInteger
from sqlmodel import Field

from infra.tables.network.base import Base


class Tag(Base, table=True):
    __tablename__ = "network_tags"

    resource_id: str = Field(primary_key=True, max_length=36)
    tag: str = Field(primary_key=True, max_length=255)


class Quota(Base, table=True):
    """A project's own limit of one resource; -1 is none."""

    __tablename__ = "network_quotas"

    project_id: str = Field(primary_key=True, max_length=64)
    resource: str = Field(primary_key=True, max_length=64)
    limit: int


class Ledger(Base, table=True):
    """The store's only row of its kind: writers lock it, `topology` counts changes of what hosts must carry out."""

    __tablename__ = "network_ledger"

    id: int = Field(default=1, primary_key=True)
    store_id: str = Field(max_length=36)
    topology: int = Field(default=0, sa_type=BigInteger)
