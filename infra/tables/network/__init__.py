"""Tables of the network service."""

from infra.tables.network.base import Base, Named, Standard, metadata, new_id, now
from infra.tables.network.groups import AddressGroup, PortGroup, SecurityGroup, SecurityGroupRule
from infra.tables.network.hosts import Host
from infra.tables.network.ledger import Ledger, Quota, Tag
from infra.tables.network.networks import Network, Port, PortAddress, Subnet
from infra.tables.network.qos import BandwidthLimit, QosPolicy
from infra.tables.network.routers import FloatingIp, PortForwarding, Router
from infra.tables.network.shares import AddressScope, AutoTopology, RbacPolicy, SubnetPool
from infra.tables.network.trunks import SubPort, Trunk

__all__ = [
    "AddressGroup",
    "AddressScope",
    "AutoTopology",
    "BandwidthLimit",
    "Base",
    "FloatingIp",
    "Host",
    "Ledger",
    "Named",
    "Network",
    "Port",
    "PortAddress",
    "PortForwarding",
    "PortGroup",
    "QosPolicy",
    "Quota",
    "RbacPolicy",
    "Router",
    "SecurityGroup",
    "SecurityGroupRule",
    "Standard",
    "SubPort",
    "Subnet",
    "SubnetPool",
    "Tag",
    "Trunk",
    "metadata",
    "new_id",
    "now",
]
