"""Claims of a resize: while it waits, the server holds its new flavor, and the migration its old one."""

from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, text, update
from sqlmodel import Session

from infra.contracts import abilities
from infra.contracts.errors import hopeless
from infra.contracts.hypervisor import FlavorFacts, local_gb
from infra.contracts.placement import Share
from infra.contracts.resize import Migration, ResizeClaim
from infra.database import Database
from infra.stores import usage
from infra.stores.claims import Claims, unable
from infra.stores.usage import RequireRoom
from infra.tables.compute import Allocation, ComputeNode, Instance, MigrationRecord, now

instances, claims = Instance.__table__, Allocation.__table__  # type: ignore[attr-defined]
nodes, migrations = ComputeNode.__table__, MigrationRecord.__table__  # type: ignore[attr-defined]
WAITING, MIGRATION = "finished", "migration"


class Resizes:
    """Each method is one transaction and may be repeated."""

    def __init__(self, database: Database, claims: Claims) -> None:
        self._db, self._claims = database, claims

    def claim(self, want: ResizeClaim, require_room: RequireRoom) -> None:
        """See `activities.resize.Resize.claim_resize`."""
        with self._db.transaction() as store:
            if store.execute(select(claims.c.host).where(claims.c.consumer_id == want.migration.id)).first():
                return
            held = store.execute(select(claims).where(claims.c.consumer_id == want.instance_id)).one_or_none()
            if held is None:
                raise hopeless(f"Instance {want.instance_id} is not ready", code=409)
            if not self._db.sqlite:
                project = {"p": want.requester.project_id}
                store.execute(text("SELECT pg_advisory_xact_lock(hashtext(:p))"), project)
                store.execute(select(nodes.c.host).where(nodes.c.host == held.host).with_for_update()).one()
            old, new = want.migration.old_flavor, want.migration.new_flavor
            more = {"cores": new.vcpus - old.vcpus, "ram": new.ram - old.ram}
            require_room(want.quota, usage.used(store, want.requester.project_id), more)
            server = store.execute(select(instances).where(instances.c.id == want.instance_id)).one()
            needs = abilities.needed(server.image_properties or {}, new.model_dump(), local_disks=False)
            if cannot := unable(store, held.host, frozenset(needs)):
                raise hopeless(f"No valid host was found. Of the server's host: {abilities.words(cannot)}.", code=400)
            share = _share(new, server.image_ref)
            if self._claims.lacking(store, held.host, Share(**share)):
                raise hopeless("No valid host was found. No valid host found for resize", code=400)
            kept = {"consumer_id": want.migration.id, "kind": MIGRATION, "instance_id": want.instance_id}
            store.execute(
                insert(claims), {**kept, "host": held.host, "attempt": held.attempt, **_share(old, server.image_ref)}
            )
            _hold(store, want.instance_id, new)
            most = {"vcpus": max(old.vcpus, new.vcpus), "memory_mb": max(old.ram, new.ram)}
            store.execute(update(instances).where(instances.c.id == want.instance_id).values(**most))
            store.execute(insert(migrations), _row(store, want, held))

    def release(self, want: ResizeClaim) -> None:
        """See `activities.resize.Resize.release_resize`."""
        self._end(want.instance_id, want.migration, want.migration.old_flavor, "error")

    def confirm(self, instance_id: str, migration: Migration) -> None:
        """See `activities.resize.Resize.confirm_claim`."""
        self._end(instance_id, migration, migration.new_flavor, "confirmed")

    def revert(self, instance_id: str, migration: Migration) -> None:
        """See `activities.resize.Resize.revert_claim`."""
        self._end(instance_id, migration, migration.old_flavor, "reverted")

    def _end(self, instance_id: str, migration: Migration, stays: FlavorFacts, status: str) -> None:
        with self._db.transaction() as store:
            gone = store.execute(delete(claims).where(claims.c.consumer_id == migration.id)).rowcount
            if not gone:
                return
            _hold(store, instance_id, stays)
            counted = {"vcpus": stays.vcpus, "memory_mb": stays.ram}
            store.execute(update(instances).where(instances.c.id == instance_id).values(**counted))
            ended = {"status": status, "updated_at": now()}
            store.execute(update(migrations).where(migrations.c.id == migration.id).values(**ended))


def give_up(store: Connection | Session, instance_id: str) -> bool:
    """No resize of the server waits any more: it holds the flavor that its record has. Whether one did."""
    mine = (claims.c.instance_id == instance_id, claims.c.kind == MIGRATION)
    if store.scalar(select(claims.c.consumer_id).where(*mine).limit(1)) is None:
        return False
    store.execute(delete(claims).where(*mine))
    flavor = FlavorFacts.model_validate(store.scalar(select(instances.c.flavor).where(instances.c.id == instance_id)))
    _hold(store, instance_id, flavor)
    counted = {"vcpus": flavor.vcpus, "memory_mb": flavor.ram}
    store.execute(update(instances).where(instances.c.id == instance_id).values(**counted))
    waits = (migrations.c.instance_id == instance_id, migrations.c.status == WAITING)
    store.execute(update(migrations).where(*waits).values(status="error", updated_at=now()))
    return True


ENDED_BY = {"confirmResize": "confirmed", "revertResize": "reverted"}


def waiting(store: Connection, instance_id: str, event: str) -> Migration | None:
    """The resize of a server that is to be confirmed or reverted; also one that this same action, `event`, ended
    before it failed, so that it may be asked for once more."""
    mine = (migrations.c.instance_id == instance_id, migrations.c.status.in_((WAITING, ENDED_BY.get(event, WAITING))))
    found = store.execute(select(migrations).where(*mine).order_by(migrations.c.number.desc())).first()
    return Migration.model_validate(found, from_attributes=True) if found else None


def _hold(store: Connection | Session, instance_id: str, flavor: FlavorFacts) -> None:
    image_ref = store.scalar(select(instances.c.image_ref).where(instances.c.id == instance_id))
    store.execute(update(claims).where(claims.c.consumer_id == instance_id).values(**_share(flavor, image_ref)))


def _share(flavor: FlavorFacts, image_ref: str | None) -> dict[str, int]:
    disk_gb = local_gb(flavor.disk, flavor.model_dump(), image_ref)
    return {"vcpus": flavor.vcpus, "memory_mb": flavor.ram, "disk_gb": disk_gb}


def _row(store: Connection, want: ResizeClaim, held: Row[Any]) -> dict[str, Any]:
    number = (store.scalar(select(func.max(migrations.c.number))) or 0) + 1
    kept = want.migration.model_dump()
    about = {"instance_id": want.instance_id, "source_compute": held.host, "dest_compute": held.host}
    asks = {"user_id": want.requester.user_id, "project_id": want.requester.project_id}
    return {**kept, **about, **asks, "number": number, "status": WAITING, "migration_type": "resize"}
