"""Tables of QoS policies and their bandwidth limits."""

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from infra.tables.network.base import Base, Named, new_id


class QosPolicy(Named, table=True):
    """`default_of` is the project whose default this is: at most one each."""

    __tablename__ = "qos_policies"

    default_of: str | None = Field(default=None, unique=True, max_length=64)


class BandwidthLimit(Base, table=True):
    """`direction` as the guest sees it: egress is what it sends."""

    __tablename__ = "qos_bandwidth_limits"
    __table_args__ = (UniqueConstraint("policy_id", "direction"),)

    id: str = Field(default_factory=new_id, primary_key=True, max_length=36)
    policy_id: str = Field(foreign_key="qos_policies.id", ondelete="CASCADE", max_length=36)
    direction: str = Field(default="egress", max_length=8)
    max_kbps: int
    max_burst_kbps: int = 0
