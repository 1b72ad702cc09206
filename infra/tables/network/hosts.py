"""Table of the hosts that carry the data plane, as they report themselves."""

from datetime import datetime

from sqlalchemy import JSON
from sqlmodel import Field

from infra.tables.network.base import Base, new_id, now


class Host(Base, table=True):
    """`seen_at` is the last report's time; `bridge_mappings` leads from physical networks to bridges."""

    __tablename__ = "network_hosts"

    name: str = Field(primary_key=True, max_length=255)
    id: str = Field(default_factory=new_id, unique=True, max_length=36)
    tunnel_ip: str = Field(default="", max_length=39)
    bridge_mappings: dict[str, str] = Field(default_factory=dict, sa_type=JSON)
    admin_state_up: bool = True
    description: str = Field(default="", max_length=255)
    created_at: datetime = Field(default_factory=now)
    seen_at: datetime = Field(default_factory=now)
