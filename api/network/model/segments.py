"""What carries a network between hosts: a physical network, or a VXLAN with an identifier of its own."""

from dataclasses import dataclass

from sqlalchemy import func
from sqlmodel import Session, col, select

from api.network.errors import conflict, invalid, typed
from api.network.schemas.networks import NetworkCreate, ProviderSegment
from infra.tables.network import Network

LARGEST = 2**24 - 1
"""Largest VXLAN network identifier (RFC 7348)."""
PHYSICAL_MTU, HEADERS = 1500, 50
"""Bytes; a VXLAN packet over IPv4 has 50 bytes of outer headers."""


@dataclass(frozen=True)
class Segment:
    kind: str
    physical: str | None = None
    number: int | None = None


def choose(session: Session, body: NetworkCreate) -> Segment:
    """The segment that the body names; without provider attributes a VXLAN with a free identifier."""
    wanted = _asked(body)
    kind = wanted.network_type or ("flat" if wanted.physical_network else "vxlan")
    if kind == "flat":
        return _flat(session, wanted)
    if kind != "vxlan":
        raise invalid(f"network_type value '{kind}' not supported")
    if wanted.physical_network:
        raise invalid("physical_network prohibited for vxlan provider network")
    if wanted.segmentation_id is None:
        return Segment(kind, number=_free(session))
    if not 1 <= wanted.segmentation_id <= LARGEST:
        raise invalid(f"segmentation_id out of range (1 through {LARGEST})")
    if session.exec(select(Network.id).where(Network.segmentation_id == wanted.segmentation_id)).first():
        words = f"Unable to create the network. The tunnel ID {wanted.segmentation_id} is in use."
        raise conflict("TunnelIdInUse", words)
    return Segment(kind, number=wanted.segmentation_id)


def _asked(body: NetworkCreate) -> ProviderSegment:
    """The provider attributes, wherever they stand; 400 for both places, and for more segments than a network has."""
    if not body.segments:
        return body
    if body.network_type or body.physical_network or body.segmentation_id:
        raise invalid("Segments and provider values cannot both be set.")
    if len(body.segments) > 1:
        raise invalid("networks of several segments are not supported")
    return body.segments[0]


def _flat(session: Session, wanted: ProviderSegment) -> Segment:
    if wanted.segmentation_id:
        raise invalid("segmentation_id prohibited for flat provider network")
    if not wanted.physical_network:
        raise invalid("physical_network required for flat provider network")
    if session.exec(select(Network.id).where(Network.physical_network == wanted.physical_network)).first():
        raise conflict(
            "FlatNetworkInUse",
            f"Unable to create the flat network. Physical network {wanted.physical_network} is in use.",
        )
    return Segment("flat", physical=wanted.physical_network)


def _free(session: Session) -> int:
    """The identifier behind the largest in use, so that a freed one rests; then the first that is free."""
    last = session.exec(select(func.max(Network.segmentation_id))).one() or 0
    if last < LARGEST:
        return int(last) + 1
    used = set(session.exec(select(Network.segmentation_id).where(col(Network.segmentation_id).is_not(None))))
    free = next((number for number in range(1, LARGEST + 1) if number not in used), None)
    if free is None:
        raise typed(503, "NoNetworkAvailable", "Unable to create the network. No tenant network is available.")
    return free


def mtu(kind: str, wanted: int) -> int:
    """0 is the largest that fits."""
    largest = PHYSICAL_MTU - (HEADERS if kind == "vxlan" else 0)
    if wanted and wanted < 68:
        raise invalid(f"mtu {wanted} is less than IPv4's minimum of 68")
    if kind == "vxlan" and wanted > largest:
        raise invalid(f"Requested MTU is too big, maximum is {largest}")
    return wanted or largest
