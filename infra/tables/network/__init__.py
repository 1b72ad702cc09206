"""Tables of the network service."""

from infra.tables.network.base import Base, Named, Standard, metadata, new_id, now
from infra.tables.network.groups import PortGroup, SecurityGroup, SecurityGroupRule
from infra.tables.network.hosts import Host
from infra.tables.network.ledger import Ledger, Quota, Tag
from infra.tables.network.networks import Network, Port, PortAddress, Subnet
from infra.tables.network.routers import FloatingIp, Router

__all__ = [
    "Base",
    "FloatingIp",
    "Host",
    "Ledger",
    "Named",
    "Network",
    "Port",
    "PortAddress",
    "PortGroup",
    "Quota",
    "Router",
    "SecurityGroup",
    "SecurityGroupRule",
    "Standard",
    "Subnet",
    "Tag",
    "metadata",
    "new_id",
    "now",
]
