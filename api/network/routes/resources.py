"""Every resource of this service that is created, listed, shown, changed and deleted in the common way."""

from typing import Any

from api.network.model import floating_ips, groups, networks, ports, routers, rules, subnets
from api.network.model.floating_ips import FLOATING_IPS
from api.network.model.groups import GROUPS
from api.network.model.networks import NETWORKS
from api.network.model.port_view import PORTS
from api.network.model.routers import ROUTERS
from api.network.model.rules import RULES
from api.network.model.subnets import SUBNETS
from api.network.routes.resource import Resource
from api.network.schemas.floating_ips import FloatingIpCreate, FloatingIpUpdate
from api.network.schemas.networks import NetworkCreate, NetworkUpdate
from api.network.schemas.ports import PortCreate, PortUpdate
from api.network.schemas.routers import RouterCreate, RouterUpdate
from api.network.schemas.security_groups import RuleCreate, SecurityGroupCreate, SecurityGroupUpdate
from api.network.schemas.subnets import SubnetCreate, SubnetUpdate

RESOURCES: tuple[Resource[Any, Any, Any], ...] = (
    Resource("networks", NETWORKS, NetworkCreate, networks.create, networks.remove, NetworkUpdate, networks.update),
    Resource("subnets", SUBNETS, SubnetCreate, subnets.create, subnets.remove, SubnetUpdate, subnets.update),
    Resource("ports", PORTS, PortCreate, ports.create, ports.remove, PortUpdate, ports.update),
    Resource("routers", ROUTERS, RouterCreate, routers.create, routers.remove, RouterUpdate, routers.update),
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
    ),
    Resource(
        "security-group-rules", RULES, RuleCreate, rules.create, rules.remove, before_list=groups.see, tagged=False
    ),
)
ROUTERS_OF_RESOURCES = tuple(resource.router() for resource in RESOURCES)
