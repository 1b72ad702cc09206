"""Static routes of a router (extensions extraroute and extraroute-atomic)."""

from ipaddress import ip_address, ip_network

from sqlmodel import Session, col, select

from api.network.errors import conflict, typed
from api.network.model import limits
from infra.tables.network import Port, PortAddress, Router, Subnet

Routes = list[dict[str, str]]


def replace(session: Session, row: Router, routes: Routes) -> None:
    """400 InvalidRoutes for a next hop that no port of the router reaches, or that is the router itself."""
    unique = list({(route["destination"], route["nexthop"]): route for route in routes}.values())
    limits.check("routes", unique, row.id)
    row.routes = unique
    check(session, row)


def add(session: Session, row: Router, routes: Routes) -> None:
    """Beside those that are there; one that is there already is left alone."""
    replace(session, row, [*row.routes, *routes])


def take(session: Session, row: Router, routes: Routes) -> None:
    """One that is not there is no error."""
    replace(session, row, [route for route in row.routes if route not in routes])


def check(session: Session, row: Router) -> None:
    """Whether each route's next hop can still be reached through a port of the router."""
    session.flush()
    if not row.routes:
        return
    query = select(Subnet.cidr, PortAddress.ip_address).join(PortAddress, col(PortAddress.subnet_id) == col(Subnet.id))
    query = query.join(Port, col(Port.id) == col(PortAddress.port_id)).where(Port.device_id == row.id)
    reached = session.exec(query.where(col(Port.device_owner).startswith("network:router"))).all()
    cidrs, own = [ip_network(cidr) for cidr, _ in reached], {address for _, address in reached}
    for route in row.routes:
        if not any(ip_address(route["nexthop"]) in cidr for cidr in cidrs):
            raise _invalid(row.routes, "the nexthop is not connected with router")
        if route["nexthop"] in own:
            raise _invalid(row.routes, "the nexthop is used by router")


def check_unneeded(row: Router, subnet: Subnet) -> None:
    """409 when a route's next hop lies in `subnet`, whose interface is to go."""
    if any(ip_address(route["nexthop"]) in ip_network(subnet.cidr) for route in row.routes):
        raise conflict(
            "RouterInterfaceInUseByRoute",
            f"Router interface for subnet {subnet.id} on router {row.id} cannot be deleted, as it is required by one "
            "or more routes.",
        )


def _invalid(routes: Routes, reason: str) -> Exception:
    return typed(400, "InvalidRoutes", f"Invalid format for routes: {routes}, {reason}")
