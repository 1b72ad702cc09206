"""Finding the next free address of a subnet, whatever the size of its pools."""

from sqlalchemy import func, update
from sqlmodel import Session, col, select

from api.network.model import ranges
from infra.tables.network import PortAddress, Subnet

WINDOW = 64


def next_free(session: Session, subnet: Subnet, mine: set[int]) -> int | None:
    """The next free address behind the one chosen last, around the pools: a freed one is used again as late as can
    be. None when all are in use. `mine` are addresses chosen for the same port a moment ago."""
    spans = ranges.spans(subnet.allocation_pools)
    begin = subnet.next_number
    ahead = [(max(first, begin), last) for first, last in spans if last >= begin]
    behind = [(first, min(last, begin - 1)) for first, last in spans if first < begin]
    for first, last in ahead + behind:
        number = _first_free(session, subnet.id, first, last, mine)
        if number is not None:
            session.exec(update(Subnet).where(col(Subnet.id) == subnet.id).values(next_number=number + 1))
            return number
    return None


def _first_free(session: Session, subnet_id: str, first: int, last: int, mine: set[int]) -> int | None:
    """Smallest free number in first..last. Full stretches are counted by the database, not read, so that a pool of
    any size costs one short query while it has room, and one pass over its index when it has none."""
    size = WINDOW
    while first <= last:
        end = min(first + size - 1, last)
        if size == WINDOW or _count(session, subnet_id, first, end) < end - first + 1:
            while end - first >= WINDOW:
                middle = (first + end) // 2
                if _count(session, subnet_id, first, middle) == middle - first + 1:
                    first = middle + 1
                else:
                    end = middle
            inside = col(PortAddress.number).between(first, end)
            query = select(PortAddress.number).where(PortAddress.subnet_id == subnet_id, inside)
            used = mine | set(session.exec(query))
            if (free := next((n for n in range(first, end + 1) if n not in used), None)) is not None:
                return free
        first, size = end + 1, size * 4
    return None


def _count(session: Session, subnet_id: str, first: int, last: int) -> int:
    inside = col(PortAddress.number).between(first, last)
    query = select(func.count()).select_from(PortAddress)
    return session.exec(query.where(col(PortAddress.subnet_id) == subnet_id, inside)).one()
