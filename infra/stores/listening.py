"""When the compute API took hosts' reports: what nobody could hear is no silence of a host."""

import uuid
from datetime import timedelta

from sqlalchemy import Connection, bindparam, case, func, insert, select, update

from infra.contracts.placement import Ear
from infra.tables.compute import Service, now

LISTENER = "nova-osapi_compute"
"""Nova's name of the API among the services; as there, no list shows it. `updated_at`: since when it listens."""
services = Service.__table__  # type: ignore[attr-defined]
EARS = select(services.c.updated_at, services.c.last_seen).where(services.c.binary == LISTENER)
NEWEST = select(func.max(services.c.last_seen)).where(services.c.binary == "nova-compute")
TARDY = timedelta(seconds=30)
"""A report that is so much younger than the last note was taken by an API of a release that keeps none."""
MINE = (services.c.binary == LISTENER, services.c.host == bindparam("machine"))


def listen(store: Connection, machine: str, pause: timedelta) -> None:
    """The API of this machine listens at this moment: as it did before, unless it was away for longer than `pause`."""
    at = now()
    since = case((services.c.last_seen < at - pause, at), else_=services.c.updated_at)
    heard = update(services).where(*MINE).values(updated_at=since, last_seen=at)
    if store.execute(heard, {"machine": machine}).rowcount:
        return
    moments = {"last_seen": at, "updated_at": at}
    about = {"id": str(uuid.uuid4()), "binary": LISTENER, "host": machine, "zone": "internal", "own_zone": "internal"}
    store.execute(insert(services).values(**about, **moments, number=0, disabled=False, forced_down=False))


def ears(store: Connection) -> tuple[Ear, ...]:
    """Of each machine's API the last time without a pause; none where reports are taken by a release without notes."""
    found = tuple(Ear(row.updated_at, row.last_seen) for row in store.execute(EARS) if row.last_seen is not None)
    newest = store.scalar(NEWEST)
    return found if newest is None or any(ear.until >= newest - TARDY for ear in found) else ()
