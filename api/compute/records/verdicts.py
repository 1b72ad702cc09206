"""What the records say of the instances that a host has something of."""

from collections.abc import Iterable

from sqlmodel import Session, select

from activities.auditing.verdicts import verdict
from infra.contracts.verdict import Known
from infra.tables.compute import Allocation, Cloud, Instance

held, servers = Allocation.__table__, Instance.__table__  # type: ignore[attr-defined]


def cloud_id(session: Session) -> str:
    """Chosen once, when the store was made: a restored backup has it too, another store does not."""
    return session.exec(select(Cloud.id)).one()


def known(session: Session, ids: Iterable[str]) -> dict[str, Known]:
    """Those of `ids` that have a record or a claim."""
    wanted = list(ids)
    columns = [servers.c[name] for name in ("id", "deleted_at", "launched_at", "claims", "vm_state")]
    found = {
        row.id: Known(
            deleted=row.deleted_at is not None,
            launched=row.launched_at is not None,
            offloaded=row.vm_state == "shelved_offloaded",
            claims=row.claims,
        )
        for row in session.execute(select(*columns).where(servers.c.id.in_(wanted)))
    }
    claims = select(held.c.instance_id, held.c.host, held.c.attempt).where(held.c.instance_id.in_(wanted))
    for claim in session.execute(claims):
        found.setdefault(claim.instance_id, Known(recorded=False)).held[claim.host] = claim.attempt
    return found


def verdicts(session: Session, host: str, present: dict[str, int]) -> dict[str, str]:
    """Instance id → verdict, for a host's instances with the attempt of each guest (0: no guest)."""
    records = known(session, present)
    return {id: verdict(records.get(id), host, attempt).value for id, attempt in present.items()}
