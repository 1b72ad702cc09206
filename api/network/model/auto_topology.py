"""A network, subnets and a router for a project that named no network (extension auto-allocated-topology)."""

from sqlmodel import Session, select

from api.network.ask import Asker
from api.network.errors import conflict
from api.network.model import interfaces, networks, routers, subnet_changes
from api.network.schemas.networks import NetworkCreate
from api.network.schemas.routers import Gateway, Interface, RouterCreate
from api.network.schemas.subnets import SubnetCreate
from infra.tables.network import AutoTopology, Network, Router, SubnetPool

NAME = "auto_allocated"


def requirements(session: Session) -> tuple[str, list[int]]:
    """The default external network and the IP versions of the default pools; 409 when either is missing."""
    outside = session.exec(select(Network.id).where(Network.is_default)).first()
    if outside is None:
        raise _failure("No default router:external network")
    versions = list(session.exec(select(SubnetPool.ip_version).where(SubnetPool.is_default)))
    if not versions:
        raise _failure("No default pools available")
    return outside, sorted(versions)


def _failure(reason: str) -> Exception:
    return conflict("AutoAllocationFailure", f"Deployment error: {reason}.")


def known(session: Session, project_id: str) -> AutoTopology | None:
    return session.get(AutoTopology, project_id)


def make(session: Session, ask: Asker, project_id: str) -> AutoTopology:
    """The project's topology, made unless it is there; all of it in one transaction."""
    if found := known(session, project_id):
        return found
    outside, versions = requirements(session)
    network = networks.create(session, ask, NetworkCreate(name=f"{NAME}_network", project_id=project_id), [])
    wanted = RouterCreate(
        name=f"{NAME}_router", project_id=project_id, external_gateway_info=Gateway(network_id=outside)
    )
    router = routers.create(session, ask, wanted, [])
    for version in versions:
        _subnet(session, ask, network, router, version)
    row = AutoTopology(project_id=project_id, network_id=network.id, router_id=router.id)
    session.add(row)
    return row


def _subnet(session: Session, ask: Asker, network: Network, router: Router, version: int) -> None:
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"} if version == 6 else {}
    body = SubnetCreate.model_validate(
        {
            "name": f"{NAME}_subnet_v{version}",
            "network_id": network.id,
            "project_id": network.project_id,
            "ip_version": version,
            "use_default_subnetpool": True,
            **modes,
        }
    )
    subnet = subnet_changes.create(session, ask, body, [])
    interfaces.add(session, ask, router, Interface(subnet_id=subnet.id))


def remove(session: Session, ask: Asker, row: AutoTopology) -> None:
    """Deletes the router and the network; 409 while the project has ports on it."""
    router, network = session.get_one(Router, row.router_id), session.get_one(Network, row.network_id)
    for port in interfaces.of(session, router):
        interfaces.remove(session, ask, router, Interface(port_id=port.id))
    session.delete(row)
    session.flush()
    routers.remove(session, ask, router)
    networks.remove(session, ask, network)
