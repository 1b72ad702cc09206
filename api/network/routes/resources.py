"""Every resource of this service that is created, listed, shown, changed and deleted in the common way."""

from typing import Any

from api.network.model import (
    address_groups,
    address_scopes,
    floating_ips,
    groups,
    networks,
    port_changes,
    ports,
    qos,
    rbac,
    routers,
    rules,
    subnet_changes,
    subnet_pools,
    subnets,
    trunks,
)
from api.network.model.address_groups import ADDRESS_GROUPS
from api.network.model.address_scopes import ADDRESS_SCOPES
from api.network.model.floating_ips import FLOATING_IPS
from api.network.model.groups import GROUPS
from api.network.model.networks import NETWORKS
from api.network.model.port_view import PORTS
from api.network.model.qos import QOS_POLICIES
from api.network.model.rbac import RBAC_POLICIES
from api.network.model.routers import ROUTERS
from api.network.model.rules import RULES
from api.network.model.subnet_pools import SUBNET_POOLS
from api.network.model.subnets import SUBNETS
from api.network.model.trunks import TRUNKS
from api.network.routes.resource import Resource
from api.network.schemas.floating_ips import FloatingIpCreate, FloatingIpUpdate
from api.network.schemas.networks import NetworkCreate, NetworkUpdate
from api.network.schemas.pools import AddressScopeCreate, AddressScopeUpdate, SubnetPoolCreate, SubnetPoolUpdate
from api.network.schemas.ports import PortCreate, PortUpdate
from api.network.schemas.qos import QosPolicyCreate, QosPolicyUpdate
from api.network.schemas.rbac import RbacPolicyCreate, RbacPolicyUpdate
from api.network.schemas.routers import RouterCreate, RouterUpdate
from api.network.schemas.security_groups import (
    AddressGroupCreate,
    AddressGroupUpdate,
    RuleCreate,
    SecurityGroupCreate,
    SecurityGroupUpdate,
)
from api.network.schemas.subnets import SubnetCreate, SubnetUpdate
from api.network.schemas.trunks import TrunkCreate, TrunkUpdate

RESOURCES: tuple[Resource[Any, Any, Any], ...] = (
    Resource("networks", NETWORKS, NetworkCreate, networks.create, networks.remove, NetworkUpdate, networks.update),
    Resource(
        "subnets", SUBNETS, SubnetCreate, subnet_changes.create, subnets.remove, SubnetUpdate, subnet_changes.update
    ),
    Resource("ports", PORTS, PortCreate, ports.create, ports.remove, PortUpdate, port_changes.update),
    Resource(
        "routers",
        ROUTERS,
        RouterCreate,
        routers.create,
        routers.remove,
        RouterUpdate,
        routers.update,
        is_settled=routers.is_settled,
    ),
    Resource(
        "floatingips",
        FLOATING_IPS,
        FloatingIpCreate,
        floating_ips.create,
        floating_ips.remove,
        FloatingIpUpdate,
        floating_ips.update,
    ),
    Resource(
        "security-groups",
        GROUPS,
        SecurityGroupCreate,
        groups.create,
        groups.remove,
        SecurityGroupUpdate,
        groups.update,
        before_list=groups.see,
        id_name="group_id",
    ),
    Resource(
        "security-group-rules",
        RULES,
        RuleCreate,
        rules.create,
        rules.remove,
        before_list=groups.see,
        id_name="rule_id",
    ),
    Resource(
        "address-groups",
        ADDRESS_GROUPS,
        AddressGroupCreate,
        address_groups.create,
        address_groups.remove,
        AddressGroupUpdate,
        address_groups.update,
    ),
    Resource(
        "subnetpools",
        SUBNET_POOLS,
        SubnetPoolCreate,
        subnet_pools.create,
        subnet_pools.remove,
        SubnetPoolUpdate,
        subnet_pools.update,
    ),
    Resource(
        "address-scopes",
        ADDRESS_SCOPES,
        AddressScopeCreate,
        address_scopes.create,
        address_scopes.remove,
        AddressScopeUpdate,
        address_scopes.update,
    ),
    Resource(
        "rbac-policies",
        RBAC_POLICIES,
        RbacPolicyCreate,
        rbac.create,
        rbac.remove,
        RbacPolicyUpdate,
        rbac.update,
    ),
    Resource("qos/policies", QOS_POLICIES, QosPolicyCreate, qos.create, qos.remove, QosPolicyUpdate, qos.update),
    Resource("trunks", TRUNKS, TrunkCreate, trunks.create, trunks.remove, TrunkUpdate, trunks.update),
)
ROUTERS_OF_RESOURCES = tuple(resource.router() for resource in RESOURCES)
