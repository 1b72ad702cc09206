"""Tables of trunks and their subports."""

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from infra.tables.network.base import Base, Named


class Trunk(Named, table=True):
    """`port_id` is the parent, whose guest sends the subports' frames with VLAN tags."""

    __tablename__ = "trunks"

    port_id: str = Field(foreign_key="ports.id", unique=True, max_length=36)
    admin_state_up: bool = True


class SubPort(Base, table=True):
    __tablename__ = "trunk_subports"
    __table_args__ = (UniqueConstraint("trunk_id", "segmentation_type", "segmentation_id"),)

    port_id: str = Field(foreign_key="ports.id", primary_key=True, max_length=36)
    trunk_id: str = Field(foreign_key="trunks.id", ondelete="CASCADE", max_length=36)
    segmentation_type: str = Field(default="vlan", max_length=16)
    segmentation_id: int
