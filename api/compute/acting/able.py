"""Whether a server's host can what an action asks of it: one of an older release, or without a package, cannot all."""

from sqlalchemy import RowMapping

from api.compute.call import ComputeCall
from api.compute.errors import bad_request
from infra.contracts import abilities
from infra.stores.claims import unable


def require_host(call: ComputeCall, row: RowMapping, needs: set[str]) -> None:
    """400 that names what the host cannot; a server that is on none may go to another."""
    if not needs or not row["host"]:
        return
    with call.db.read() as session:
        cannot = unable(session.connection(), row["host"], frozenset(needs))
    if cannot:
        raise bad_request(f"No valid host was found. Of the server's host: {abilities.words(cannot)}.")
