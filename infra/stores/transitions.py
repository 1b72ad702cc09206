"""The guarded transitions of servers: an action begins only from the states of its row, and ends in one statement."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Row, bindparam, delete, null, select, update

from infra.codec import KeyRing
from infra.contracts.errors import hopeless
from infra.contracts.hypervisor import FlavorFacts
from infra.contracts.operation import ActionEnd, ActionRequest, InstanceChange, InstanceFacts, Stands, Transition
from infra.contracts.requests import BootRequest, Fault
from infra.database import Database
from infra.stores import actions, causes, resizes
from infra.stores.actions import actions as actions_table
from infra.tables.compute import Allocation, Instance, now

instances, claims = Instance.__table__, Allocation.__table__  # type: ignore[attr-defined]
HELD = instances.outerjoin(claims, claims.c.consumer_id == instances.c.id)
FACTS = select(instances, claims.c.attempt).select_from(HELD)
# Statements that every action uses are made once: to make one anew takes longer than SQLite's part of it.
OF_SERVER = FACTS.where(instances.c.id == bindparam("server"))
OF_REQUEST = select(actions_table.c.finish_time).where(
    actions_table.c.instance_id == bindparam("server"), actions_table.c.request_id == bindparam("request")
)
SHOW = (
    update(instances)
    .where(instances.c.id == bindparam("server"))
    .values(task_state=bindparam("doing"), progress=0, updated_at=bindparam("moment"))
)


class Transitions:
    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._db, self._ring = database, ring

    def begin(self, req: ActionRequest, require: Callable[[Stands, Transition], None]) -> InstanceFacts:
        """See `activities.instance.Instance.begin_action`; `require` raises where the action may not begin."""
        with self._db.transaction() as store:
            this = {"server": req.instance_id, "request": req.requester.request_id}
            found = store.execute(OF_SERVER, this).one_or_none()
            if found is None or found.deleted_at is not None:
                raise hopeless(f"Instance {req.instance_id} could not be found.", code=404)
            known = store.execute(OF_REQUEST, this).one_or_none()
            facts = facts_of(found, over=known is not None and known.finish_time is not None)
            if found.vm_state == "resized":
                facts.migration = resizes.waiting(store, req.instance_id, req.transition.event)
            facts.shelved_image = actions.shelved_image(store, found)
            if known is not None:
                return facts
            require(found, req.transition)
            if req.follows and not causes.holds(store, found, req.follows):
                raise hopeless(f"Instance {found.id} is not what request {req.follows.request_id} made it", code=409)
            store.execute(SHOW, {**this, "doing": req.transition.doing, "moment": now()})
            actions.begin(store, req.instance_id, req.requester, req.transition.event)
            return facts

    def end(self, end: ActionEnd, event: str) -> None:
        """See `activities.instance.Instance.end_action`; `event` names the step that writes it."""
        with self._db.transaction() as store:
            known = store.execute(OF_REQUEST, {"server": end.instance_id, "request": end.request_id}).one_or_none()
            if known is None or known.finish_time is not None:
                return  # it never began, or is over: the server's states are another operation's
            values: dict[str, Any] = {"task_state": None, "updated_at": now(), **_columns(end)}
            living = (instances.c.id == end.instance_id, instances.c.deleted_at.is_(None))
            if end.change.guest and (sealed := store.scalar(select(instances.c.sealed_request).where(*living))):
                values["sealed_request"] = self._resealed(sealed, end.change)
            if not store.execute(update(instances).where(*living).values(**values)).rowcount:
                return
            if end.change.released:
                store.execute(delete(claims).where(claims.c.instance_id == end.instance_id))
            steps = [*end.steps, actions.over(event, end.error)]
            actions.finish(store, end.instance_id, end.request_id, steps, end.error)

    def _resealed(self, sealed: str, change: InstanceChange) -> str:
        """The boot request with what the guest is told now."""
        request = BootRequest.model_validate_json(self._ring.unseal(sealed))
        assert change.guest is not None
        told = change.guest.model_dump(include={"hostname", "admin_pass", "user_data", "key_name", "public_key"})
        told |= {"injected_files": change.guest.injected_files}
        told |= {"metadata": change.guest.metadata, "image_id": change.image_ref or request.image_id}
        return self._ring.seal(request.model_copy(update=told).model_dump_json())


def _columns(end: ActionEnd) -> dict[str, Any]:
    changed = end.change.model_dump(exclude_none=True, exclude={"cleared", "guest", "released"})
    changed |= {name: null() for name in end.change.cleared}
    if end.fault:
        changed |= {"vm_state": "error", "fault": fault_of(end.fault)}
    elif changed.get("vm_state") not in (None, "error"):
        changed["fault"] = null()  # what it was in ERROR for is over
    return changed


def facts_of(found: Row[Any], *, over: bool = False) -> InstanceFacts:
    return InstanceFacts(
        instance_id=found.id,
        over=over,
        project_id=found.project_id,
        user_id=found.user_id,
        name=found.name,
        hostname=found.hostname,
        host=found.host or "",
        attempt=found.attempt or 0,
        image_id=found.image_ref,
        image_properties=found.image_properties,
        trusted=found.trusted_certificates or [],
        flavor=FlavorFacts.model_validate(found.flavor),
        vm_state=found.vm_state,
        power_state=found.power_state,
        metadata=found.server_metadata,
        networks=found.networks,
        volumes=found.volumes,
        local_disks=found.local_disks,
        ports=found.requested_ports,
    )


def fault_of(fault: Fault) -> dict[str, Any]:
    created = now().replace(microsecond=0).isoformat() + "Z"
    return {"code": fault.code, "message": fault.message, "details": fault.details, "created": created}
