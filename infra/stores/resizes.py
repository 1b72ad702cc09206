"""Claims of a resize: while it waits, the server holds its new flavor, and the migration its old one, here or on the
host that the server left."""

from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, text, update
from sqlmodel import Session
from temporalio.exceptions import ApplicationError

from infra.contracts import abilities
from infra.contracts.errors import hopeless
from infra.contracts.hypervisor import FlavorFacts, local_gb
from infra.contracts.local_disks import LocalDisk
from infra.contracts.placement import ClaimRequest, Share
from infra.contracts.resize import Migration, ResizeClaim, ResizeClaimed, carried
from infra.contracts.snapshot import carried_id_of
from infra.database import Database
from infra.stores import usage
from infra.stores.actions import image_by
from infra.stores.claims import PLACED, Claims, needs_of, services, unable
from infra.stores.usage import RequireRoom
from infra.tables.compute import Allocation, ComputeNode, Instance, MigrationRecord, now

instances, claims = Instance.__table__, Allocation.__table__  # type: ignore[attr-defined]
nodes, migrations = ComputeNode.__table__, MigrationRecord.__table__  # type: ignore[attr-defined]
WAITING, MIGRATION = "finished", "migration"
DISABLED = select(services.c.disabled).where(services.c.binary == "nova-compute", services.c.host == bindparam("at"))
LAST = (
    select(migrations.c.source_compute, migrations.c.dest_compute, migrations.c.request_id, migrations.c.status)
    .where(migrations.c.instance_id == bindparam("server"))
    .order_by(migrations.c.number.desc())
    .limit(1)
)


class Resizes:
    """Each method is one transaction and may be repeated."""

    def __init__(self, database: Database, claims: Claims) -> None:
        self._db, self._claims = database, claims

    def claim(self, want: ResizeClaim, require_room: RequireRoom) -> ResizeClaimed:
        """See `activities.resize.Resize.claim_resize`."""
        with self._db.transaction() as store:
            held = store.execute(select(claims).where(claims.c.consumer_id == want.instance_id)).one_or_none()
            if held is None:
                raise hopeless(f"Instance {want.instance_id} is not ready", code=409)
            kept = store.execute(select(claims).where(claims.c.consumer_id == want.migration.id)).one_or_none()
            if kept is not None:
                return self._next(store, want, held, kept)
            server = store.execute(select(instances).where(instances.c.id == want.instance_id)).one()
            if not self._db.sqlite:
                project = {"p": server.project_id}  # an admin may ask for it from another one
                store.execute(text("SELECT pg_advisory_xact_lock(hashtext(:p))"), project)
                store.execute(select(nodes.c.host).where(nodes.c.host == held.host).with_for_update()).one()
            old, new = want.migration.old_flavor, want.migration.new_flavor
            more = {"cores": new.vcpus - old.vcpus, "ram": new.ram - old.ram}
            require_room(want.quota, usage.used(store, server.project_id), more)
            there = self._place(store, want, held, server)
            mine = {"consumer_id": want.migration.id, "kind": MIGRATION, "instance_id": want.instance_id}
            store.execute(
                insert(claims), {**mine, "host": held.host, "attempt": held.attempt, **_share(old, server.image_ref)}
            )
            if there.host != held.host:
                _take(store, there, server.id)
            _hold(store, want.instance_id, new)
            most = {"vcpus": max(old.vcpus, new.vcpus), "memory_mb": max(old.ram, new.ram)}
            store.execute(update(instances).where(instances.c.id == want.instance_id).values(**most))
            store.execute(insert(migrations), _row(store, want, held, there))
            return there

    def _place(self, store: Connection, want: ResizeClaim, held: Row[Any], server: Row[Any]) -> ResizeClaimed:
        """The server's own host where that has room for both flavors, else the best of the others; these first where
        its own is disabled. What would be lost on the way keeps it where it is."""
        flavor = want.migration.new_flavor
        share, refusal = Share(**_share(flavor, server.image_ref)), ""
        needs = _needs(server, flavor)
        if cannot := unable(store, held.host, needs):
            refusal = f"Of the server's host: {abilities.words(cannot)}."
        elif not want.same_host or self._claims.lacking(store, held.host, share):
            refusal = "No valid host found for resize"
        stays = None if refusal else ResizeClaimed(host=held.host, attempt=held.attempt)
        if stays and not store.scalar(DISABLED, {"at": held.host}):
            return stays
        old = any(disk["kind"] == "ephemeral" for disk in server.local_disks or ()) and not want.carries
        if not old and not unable(store, held.host, _moving(want, server)):
            with suppress(ApplicationError):  # no host: what was said of its own is the answer
                return self._elsewhere(store, want, server, {held.host: refusal})
        if stays:
            return stays
        raise hopeless(f"No valid host was found. {refusal}", code=400)

    def _elsewhere(
        self, store: Connection, want: ResizeClaim, server: Row[Any], tried: dict[str, str]
    ) -> ResizeClaimed:
        """The best of the other hosts. Raises `NoValidHost`."""
        flavor = want.migration.new_flavor
        asked = ClaimRequest(
            instance_id=server.id,
            zone=server.pinned_zone,
            tried=tried,
            needs=_needs(server, flavor) | needs_of(server) | _moving(want, server),
        )
        best = self._claims.place(store, asked, server, Share(**_share(flavor, server.image_ref)))
        return ResizeClaimed(host=best.host, attempt=server.claims + 1, zone=best.zone)

    def _next(self, store: Connection, want: ResizeClaim, held: Row[Any], kept: Row[Any]) -> ResizeClaimed:
        """Where the server is claimed by now: another host in place of one that was tried and could not."""
        if held.host not in want.tried:
            return ResizeClaimed(host=held.host, attempt=held.attempt)
        server = store.execute(select(instances).where(instances.c.id == want.instance_id)).one()
        there = self._elsewhere(store, want, server, {kept.host: "its own host"} | want.tried)
        _take(store, there, server.id)
        goes = update(migrations).where(migrations.c.id == want.migration.id)
        store.execute(goes.values(dest_compute=there.host, updated_at=now()))
        return there

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
            kept = store.execute(select(claims).where(claims.c.consumer_id == migration.id)).one_or_none()
            if kept is None:
                return
            store.execute(delete(claims).where(claims.c.consumer_id == migration.id))
            if status != "confirmed":
                _go_back(store, kept)
            _hold(store, instance_id, stays)
            counted = {"vcpus": stays.vcpus, "memory_mb": stays.ram}
            store.execute(update(instances).where(instances.c.id == instance_id).values(**counted))
            ended = {"status": status, "updated_at": now()}
            store.execute(update(migrations).where(migrations.c.id == migration.id).values(**ended))


def give_up(store: Connection | Session, instance_id: str) -> bool:
    """No resize of the server waits any more: it holds the flavor that its record has, on the host that has the guest
    of that flavor. Whether one did."""
    mine = (claims.c.instance_id == instance_id, claims.c.kind == MIGRATION)
    kept = store.execute(select(claims).where(*mine).limit(1)).one_or_none()
    if kept is None:
        return False
    store.execute(delete(claims).where(*mine))
    flavor = FlavorFacts.model_validate(store.scalar(select(instances.c.flavor).where(instances.c.id == instance_id)))
    meant = store.scalar(select(migrations.c.new_flavor).where(migrations.c.id == kept.consumer_id))
    if meant is not None and meant != flavor.model_dump():  # it was ended before its record had the new one
        _go_back(store, kept)
    _hold(store, instance_id, flavor)
    counted = {"vcpus": flavor.vcpus, "memory_mb": flavor.ram}
    store.execute(update(instances).where(instances.c.id == instance_id).values(**counted))
    waits = (migrations.c.instance_id == instance_id, migrations.c.status == WAITING)
    store.execute(update(migrations).where(*waits).values(status="error", updated_at=now()))
    return True


def left(session: Session, server: Instance, host: str) -> dict[str, str]:
    """Of the last resize of the server, which is on `host` by its claim, where that took it to another: `source`, the
    one that keeps what it was, or may not have forgotten it yet, or from which it came back and left what could not be
    undone; and the images in which it went. Fields of DeletePlan."""
    found = session.execute(LAST, {"server": server.id}).first()
    if found is None or found.source_compute == found.dest_compute:
        return {}
    local = [LocalDisk.model_validate(disk) for disk in server.local_disks or ()]
    beside = carried(server.image_properties or {}, local)
    other = found.source_compute
    if other == host:
        other = "" if found.status == "reverted" else found.dest_compute
    return {
        "source": other,
        "moved_image": image_by(server, found.request_id),
        "carried_image": carried_id_of(server.id, found.request_id) if beside else "",
    }


ENDED_BY = {"confirmResize": "confirmed", "revertResize": "reverted"}


def waiting(store: Connection, instance_id: str, event: str) -> Migration | None:
    """The resize of a server that is to be confirmed or reverted; also one that this same action, `event`, ended
    before it failed, so that it may be asked for once more."""
    mine = (migrations.c.instance_id == instance_id, migrations.c.status.in_((WAITING, ENDED_BY.get(event, WAITING))))
    found = store.execute(select(migrations).where(*mine).order_by(migrations.c.number.desc())).first()
    if found is None:
        return None
    waits = Migration.model_validate(found, from_attributes=True)
    if found.source_compute != found.dest_compute:
        waits.source = found.source_compute
        there = (claims.c.instance_id == instance_id, claims.c.host == waits.source)
        waits.source_attempt = store.scalar(select(claims.c.attempt).where(*there).limit(1)) or 0
    return waits


def _move(store: Connection | Session, instance_id: str, host: str, attempt: int) -> None:
    """The server's own claim, to another host."""
    moved = {"host": host, "attempt": attempt}
    store.execute(update(claims).where(claims.c.consumer_id == instance_id).values(**moved))


def _take(store: Connection, there: ResizeClaimed, instance_id: str) -> None:
    """The server is claimed on another host, under a number of its own."""
    _move(store, instance_id, there.host, there.attempt)
    store.execute(PLACED, {"server": instance_id, "number": there.attempt, "at": there.host})


def _needs(server: Row[Any], flavor: FlavorFacts) -> frozenset[str]:
    """What a host must be able to for the new flavor."""
    return frozenset(abilities.needed(server.image_properties or {}, flavor.model_dump(), local_disks=False))


def _moving(want: ResizeClaim, server: Row[Any]) -> frozenset[str]:
    """What a host must be able to that the server leaves or comes to."""
    local = [LocalDisk.model_validate(disk) for disk in server.local_disks or ()]
    beside = want.carries and carried(server.image_properties or {}, local)
    return frozenset((abilities.MOVES, abilities.CARRIES) if beside else (abilities.MOVES,))


def _go_back(store: Connection | Session, kept: Row[Any]) -> None:
    """The server is where the claim of its resize kept it."""
    _move(store, kept.instance_id, kept.host, kept.attempt)
    store.execute(update(instances).where(instances.c.id == kept.instance_id).values(host=kept.host))


def _hold(store: Connection | Session, instance_id: str, flavor: FlavorFacts) -> None:
    image_ref = store.scalar(select(instances.c.image_ref).where(instances.c.id == instance_id))
    store.execute(update(claims).where(claims.c.consumer_id == instance_id).values(**_share(flavor, image_ref)))


def _share(flavor: FlavorFacts, image_ref: str | None) -> dict[str, int]:
    disk_gb = local_gb(flavor.disk, flavor.model_dump(), image_ref)
    return {"vcpus": flavor.vcpus, "memory_mb": flavor.ram, "disk_gb": disk_gb}


def _row(store: Connection, want: ResizeClaim, held: Row[Any], there: ResizeClaimed) -> dict[str, Any]:
    number = (store.scalar(select(func.max(migrations.c.number))) or 0) + 1
    kept = want.migration.model_dump(exclude={"source", "source_attempt"})
    about = {"instance_id": want.instance_id, "source_compute": held.host, "dest_compute": there.host}
    asks = {"user_id": want.requester.user_id, "project_id": want.requester.project_id}
    return {**kept, **about, **asks, "number": number, "status": WAITING, "migration_type": "resize"}
