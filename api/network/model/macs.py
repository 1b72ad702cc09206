"""MAC addresses of ports, unique in their network."""

import secrets

from sqlmodel import Session, select

from api.network.errors import conflict
from infra.tables.network import Port


def choose(session: Session, network_id: str, asked: str | None) -> str:
    """The MAC address asked for, or a random one with Neutron's prefix; 409 for one that is taken."""
    for _ in range(16):
        mac = asked or "fa:16:3e:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))
        if not session.exec(select(Port.id).where(Port.network_id == network_id, Port.mac_address == mac)).first():
            return mac
        if asked:
            raise conflict(
                "MacAddressInUse",
                f"Unable to complete operation for network {network_id}. The mac address {mac} is in use.",
            )
    raise conflict("MacAddressGenerationFailure", f"Unable to generate unique mac on network {network_id}.")
