"""Making and deleting ports, and what may be said of them."""

from sqlmodel import Session, col, delete, select

from api.network import server_ports
from api.network.ask import Asker
from api.network.errors import conflict, forbidden
from api.network.model import addresses, association, macs, own_ports, placement, port_groups, qos, quotas, shares, tags
from api.network.model.kinds import find
from api.network.model.networks import NETWORKS
from api.network.model.port_groups import INFRASTRUCTURE
from api.network.schemas.ports import PortCreate, PortUpdate
from infra.tables.network import FloatingIp, Network, Port, Router, SubPort, Trunk, new_id


def create(session: Session, ask: Asker, body: PortCreate, given: list[str]) -> Port:
    """A port with its addresses and groups, in one transaction with the checks that allow them.

    `given`: attributes that differ from their defaults. Raises 409 for an id, MAC address or address that is taken,
    and when quota or addresses are used up."""
    project_id = ask.owner(body.project_id, body.tenant_id)
    network = find(session, ask, NETWORKS, body.network_id)
    _check_network(session, ask, network, project_id)
    enforce(ask, "create_port", body, given, (project_id, network.project_id))
    check_device(body.device_owner, body.device_id)
    if body.id and session.get(Port, body.id):
        raise conflict("PortIdInUse", f"A port with the id {body.id} exists.")
    quotas.check(session, project_id, "port")
    secure = network.port_security_enabled if body.port_security_enabled is None else body.port_security_enabled
    row = Port(
        id=body.id or new_id(),
        project_id=project_id,
        mac_address=macs.choose(session, network.id, body.mac_address),
        port_security_enabled=secure,
        allowed_address_pairs=[],
        status=body.status or "DOWN",
        host=body.host_id or "",
        profile=port_groups.profile(body),
        qos_policy_id=qos.usable_id(session, ask, body.qos_policy_id),
        **body.model_dump(
            include={
                "network_id",
                "name",
                "description",
                "admin_state_up",
                "device_id",
                "device_owner",
                "dns_name",
                "vnic_type",
            }
        ),
    )
    port_groups.set_pairs(row, body)
    have = addresses.assign(session, row, body.fixed_ips)
    members = port_groups.memberships(session, row, body.security_groups)
    session.add(row)
    session.flush()
    session.add_all([*have, *members])
    tags.add(session, row, body.tags)
    if row.host:
        session.flush()
        placement.place(session)
    return row


def _check_network(session: Session, ask: Asker, network: Network, project_id: str) -> None:
    """A network that is seen only because it is external takes no ports of tenants."""
    shared = select(Network.id).where(Network.id == network.id, col(Network.id).in_(shares.usable(ask.project_id)))
    if network.project_id == ask.project_id or session.exec(shared).first():
        return
    if not ask.allows("create_port:on_external_network", project_id, network.project_id):
        raise forbidden("create_port:on_external_network")


def enforce(
    ask: Asker, action: str, body: PortCreate | PortUpdate, given: list[str], projects: tuple[str, str]
) -> None:
    """`projects`: the port's and its network's."""
    ask.enforce(action, projects[0])
    asked = list(given)
    if body.device_owner.startswith(INFRASTRUCTURE) and "device_owner" in given:
        asked.append("device_owner:network")
    if any(fixed.ip_address for fixed in body.fixed_ips or []):
        asked.append("fixed_ips:ip_address")
    ask.enforce_attributes(action, asked, *projects)


def check_device(owner: str, device_id: str) -> None:
    """409 for a port that calls itself part of a router or floating address: only their own routes make those."""
    if device_id and owner in own_ports.OWN:
        raise conflict(
            "DeviceIDNotOwnedByTenant",
            f"The following device_id {device_id} is not owned by your project or matches another project's router.",
        )


def remove(session: Session, ask: Asker, row: Port) -> None:
    """Its addresses are free at once; the search for free ones comes back to them last.

    409 ServicePortInUse for a port of a router or of a floating address, which goes with those."""
    network = session.get_one(Network, row.network_id)
    ask.enforce("delete_port", row.project_id, network.project_id)
    if row.device_owner in own_ports.OWN and _served(session, row):
        raise conflict(
            "ServicePortInUse",
            f"Port {row.id} cannot be deleted directly via the port API: has device owner {row.device_owner}.",
        )
    _check_trunks(session, row)
    association.release(session, row.id)
    tags.forget(session, row.id)
    server_ports.deleted(session, row, by_service=ask.context.is_service)
    session.exec(delete(Port).where(col(Port.id) == row.id))


def _served(session: Session, row: Port) -> bool:
    """Whether what the port belongs to is still there."""
    table = FloatingIp if row.device_owner == own_ports.FLOATING else Router
    return session.get(table, row.device_id) is not None


def _check_trunks(session: Session, row: Port) -> None:
    trunk = session.exec(select(Trunk.id).where(Trunk.port_id == row.id)).first()
    if trunk:
        words = f"Port {row.id} is currently a parent port for trunk {trunk}."
        raise conflict("PortInUseAsTrunkParent", words)
    subport = session.get(SubPort, row.id)
    if subport:
        words = f"Port {row.id} is currently a subport for trunk {subport.trunk_id}."
        raise conflict("PortInUseAsSubPort", words)
