"""Records as an audit reads them: in pages, and only the columns that are compared, never the sealed requests."""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update
from sqlmodel import col

from infra.contracts.audit import RESIZE, AttachmentSeen, Finding, PortHeld, Server
from infra.contracts.left import Left, Standing
from infra.contracts.snapshot import carried_id_of, image_id_of
from infra.contracts.states import Lost, lost
from infra.contracts.verdict import Known
from infra.contracts.volume import attached_id
from infra.database import Database
from infra.stores import actions, resizes, standings
from infra.tables.compute import Allocation, ConsoleToken, Instance, now

instances, allocations = Instance.__table__, Allocation.__table__  # type: ignore[attr-defined]
COLUMNS = [
    instances.c[name]
    for name in (
        "id", "project_id", "user_id", "request_id", "hostname", "vm_state", "task_state", "host", "claims",
        "deleted_at", "launched_at", "networks", "volumes",
    )
]  # fmt: skip
PAGE = 500
ATTACHES = ("attach_volume", "swap_volume")
ENDED = "The operation was ended from outside."


class AuditedRecords:
    def __init__(self, database: Database) -> None:
        self._db = database

    def live(self) -> Iterator[Server]:
        """Every server that is not deleted."""
        last = ""
        while True:
            query = select(*COLUMNS).where(instances.c.deleted_at.is_(None), instances.c.id > last)
            found = self._servers(query.order_by(instances.c.id).limit(PAGE))
            if not found:
                return
            yield from found
            last = found[-1].id

    def by_id(self, ids: Iterable[str]) -> Iterator[Server]:
        """Those of `ids` that have a record, deleted ones too."""
        for some in _pages(ids):
            yield from self._servers(select(*COLUMNS).where(instances.c.id.in_(some)))

    def claims_without_record(self) -> dict[str, Known]:
        """Server id → claims that name it, though no record does."""
        query = (
            select(allocations.c.instance_id, allocations.c.host, allocations.c.attempt)
            .select_from(allocations.outerjoin(instances, instances.c.id == allocations.c.instance_id))
            .where(instances.c.id.is_(None))
        )
        found: dict[str, Known] = {}
        with self._db.engine.connect() as store:
            for row in store.execute(query):
                found.setdefault(row.instance_id, Known(recorded=False)).held[row.host] = row.attempt
        return found

    def deleted_with_claims(self) -> set[str]:
        """Ids of deleted servers that still have a claim."""
        query = select(allocations.c.instance_id).join(instances, instances.c.id == allocations.c.instance_id)
        with self._db.engine.connect() as store:
            return set(store.scalars(query.where(instances.c.deleted_at.is_not(None))))

    def shelved_into(self, images: dict[str, str]) -> dict[str, str]:
        """Those of `images` (image → server) that follow from a request to shelve or resize that server, as a record
        has it: what an image says of itself, its owner can write."""
        mine = actions.actions
        with self._db.engine.connect() as store:
            query = select(mine.c.instance_id, mine.c.request_id).where(mine.c.action.in_(("shelve", "resize")))
            ours = {
                id_of(row.instance_id, row.request_id): row.instance_id
                for some in _pages(set(images.values()))
                for row in store.execute(query.where(mine.c.instance_id.in_(some)))
                for id_of in (image_id_of, carried_id_of)
            }
        return {image: server for image, server in images.items() if ours.get(image) == server}

    def asked_for(self, attachments: dict[str, AttachmentSeen]) -> set[str]:
        """Those (id → attachment) that follow from a request to attach a volume to that server, as a record has it."""
        mine, ours = actions.actions, set[str]()
        with self._db.engine.connect() as store:
            query = select(mine.c.instance_id, mine.c.request_id).where(mine.c.action.in_(ATTACHES))
            for some in _pages({seen.instance_id for seen in attachments.values()}):
                requests: dict[str, list[str]] = {}
                for row in store.execute(query.where(mine.c.instance_id.in_(some))):
                    requests.setdefault(row.instance_id, []).append(row.request_id)
                ours |= {
                    id
                    for id, seen in attachments.items()
                    for request_id in requests.get(seen.instance_id, ())
                    if attached_id(seen.instance_id, request_id, seen.volume_id) == id
                }
        return ours

    def standings(self, host: str, left: Left, fate: standings.Judge) -> dict[str, Standing]:
        """Of the servers of which something is left on this host."""
        with self._db.engine.connect() as store:
            return {
                id: standing
                for some in _pages(left)
                for id, standing in standings.standings(store, host, {id: left[id] for id in some}, fate).items()
            }

    def with_console(self, only: str = "") -> set[str]:
        """Ids of the servers that have a console token."""
        tokens = select(col(ConsoleToken.instance_id)).where(col(ConsoleToken.expires_at) > now()).distinct()
        with self._db.engine.connect() as store:
            return set(store.scalars(tokens.where(col(ConsoleToken.instance_id) == only) if only else tokens))

    def forget(self, finding: Finding) -> bool:
        """See `activities.audit.Audit.forget`. False when the record does not say so (any more)."""
        mine = instances.c.id == finding.instance_id
        with self._db.transaction() as store:
            row = store.execute(select(*COLUMNS).where(mine).with_for_update()).one_or_none()
            server = _server(row, {}) if row else None
            if server is not None and server.busy and finding.kind == "stuck":
                return _put_back(store, server)
            if server is not None and finding.what == RESIZE and finding.kind == "allocation":
                return not server.awaits and resizes.give_up(store, server.id)
            if server is None or server.busy or server.keeps:
                return False
            if finding.kind == "allocation":
                held = (allocations.c.instance_id == server.id, allocations.c.host == finding.host)
                store.execute(delete(allocations).where(*held))
            else:
                store.execute(delete(ConsoleToken).where(col(ConsoleToken.instance_id) == server.id))
        return True

    def _servers(self, query: Any) -> list[Server]:
        with self._db.engine.connect() as store:
            rows = store.execute(query).all()
            held: dict[str, dict[str, int]] = {}
            resizing: dict[str, str] = {}
            claims = select(allocations.c.instance_id, allocations.c.host, allocations.c.attempt, allocations.c.kind)
            for claim in store.execute(claims.where(allocations.c.instance_id.in_([row.id for row in rows]))):
                held.setdefault(claim.instance_id, {})[claim.host] = claim.attempt
                if claim.kind == resizes.MIGRATION:
                    resizing[claim.instance_id] = claim.host
        return [_server(row, held.get(row.id, {}), resizing.get(row.id, "")) for row in rows]


def _put_back(store: Connection, server: Server) -> bool:
    """A guest that ran stays as it is: only what was being done is over, and its action says so. A resize that was
    not done yet is none."""
    if lost(server.vm_state, server.task_state) is not Lost.PUT_BACK:
        return False
    if server.vm_state != "resized":
        resizes.give_up(store, server.id)
    changed = {"task_state": None, "updated_at": now()}
    store.execute(update(instances).where(instances.c.id == server.id).values(**changed))
    open_ones = (actions.actions.c.instance_id == server.id, actions.actions.c.finish_time.is_(None))
    step = actions.over("put_back").model_copy(update={"result": "Error", "details": ENDED})
    for request_id in store.scalars(select(actions.actions.c.request_id).where(*open_ones)).all():
        actions.finish(store, server.id, request_id, [step], ENDED)
    return True


def _pages(ids: Iterable[str]) -> Iterator[list[str]]:
    wanted = sorted(ids)
    for start in range(0, len(wanted), PAGE):
        yield wanted[start : start + PAGE]


def _server(row: Row[Any], held: dict[str, int], resize_on: str = "") -> Server:
    known = Known(
        deleted=row.deleted_at is not None,
        launched=row.launched_at is not None,
        offloaded=row.vm_state == "shelved_offloaded",
        claims=row.claims,
        held=held,
    )
    return Server(
        id=row.id,
        project_id=row.project_id,
        user_id=row.user_id,
        request_id=row.request_id,
        hostname=row.hostname,
        vm_state=row.vm_state,
        task_state=row.task_state,
        host=row.host or "",
        known=known,
        ports=tuple(PortHeld(n["port_id"], n["network_id"], tuple(n["fixed_ips"])) for n in row.networks),
        attachments=tuple((v["attachment_id"], v["volume_id"]) for v in row.volumes),
        resize_on=resize_on,
    )
