"""Servers as the steps of builds and deletes see them: each method one transaction, each safe to run twice."""

from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, null, select, text, update
from sqlmodel import Session, col

from infra.codec import KeyRing
from infra.contracts import states
from infra.contracts.errors import hopeless
from infra.contracts.hypervisor import FlavorFacts, GuestConfig
from infra.contracts.instance import BuildDone, BuildFailed, Deleted, DeletePlan, RoomWanted
from infra.contracts.network import network_of
from infra.contracts.power_states import SHUTDOWN
from infra.contracts.requests import BootRequest, DeleteRequest
from infra.contracts.volume import VolumeRequest
from infra.database import Database
from infra.stores import actions, causes, host_failures, resizes, server_groups, usage
from infra.stores.actions import actions as known_actions
from infra.stores.transitions import fault_of
from infra.stores.usage import RequireRoom
from infra.tables.compute import Flavor, Instance, InstanceAction, Service, now

instances, flavors = Instance.__table__, Flavor.__table__  # type: ignore[attr-defined]
services = Service.__table__  # type: ignore[attr-defined]
ON_HOST = (services.c.host == instances.c.host) & (services.c.binary == "nova-compute")
GUEST = select(instances, services.c.zone).select_from(instances.outerjoin(services, ON_HOST))
KNOWN = select(instances.c.deleted_at, instances.c.vm_state, instances.c.launched_at, instances.c.request_id).where(
    instances.c.id == bindparam("server")
)
FLAVOR = select(flavors).where(flavors.c.id == bindparam("flavor"))
FLAVOR_OF = select(instances.c.flavor).where(instances.c.id == bindparam("server"))
NEW = insert(instances)
ACTIVE = (
    update(instances)
    .where(instances.c.id == bindparam("server"), instances.c.deleted_at.is_(None))
    .values(
        vm_state="active",
        task_state=None,
        power_state=bindparam("power"),
        host=bindparam("at"),
        fault=null(),
        parked=None,
        progress=0,
        launched_at=func.coalesce(instances.c.launched_at, bindparam("moment")),
        updated_at=bindparam("moment"),
        networks=bindparam("carried"),
    )
)
WITH_VOLUMES = ACTIVE.values(volumes=bindparam("attached"))


class Records:
    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._db, self._ring = database, ring

    def create(self, req: BootRequest, require_room: RequireRoom) -> None:
        """See `activities.instance.Instance.create_record`."""
        with self._db.transaction() as store:
            known = store.execute(KNOWN, {"server": req.instance_id}).one_or_none()
            if known is not None:
                _again(store, known, req)
                return
            flavor = store.execute(FLAVOR, {"flavor": req.flavor_id}).one_or_none()
            if flavor is None:
                raise hopeless(f"Flavor {req.flavor_id} could not be found.", code=400)
            if not self._db.sqlite:
                store.execute(text("SELECT pg_advisory_xact_lock(hashtext(:p))"), {"p": req.requester.project_id})
            more = {"instances": 1, "cores": flavor.vcpus, "ram": flavor.ram}
            if any(limit >= 0 for limit in req.quota.values()):
                require_room(req.quota, usage.used(store, req.requester.project_id), more)
            server_groups.require_room(store, self._db, req)
            store.execute(NEW, _new_instance(req, flavor, self._ring))
            actions.begin(store, req.instance_id, req.requester, req.action)

    def flavor(self, instance_id: str) -> FlavorFacts:
        with self._db.engine.connect() as store:
            found = store.execute(FLAVOR_OF, {"server": instance_id}).one_or_none()
        if found is None:
            raise hopeless(f"Instance {instance_id} could not be found.", code=404)
        return FlavorFacts.model_validate(found.flavor)

    def guest(self, instance_id: str) -> GuestConfig:
        with self._db.engine.connect() as store:
            found = store.execute(GUEST.where(instances.c.id == instance_id)).one_or_none()
        if found is None or not found.sealed_request:
            raise hopeless(f"Instance {instance_id} could not be found.", code=404)
        request = BootRequest.model_validate_json(self._ring.unseal(found.sealed_request))
        return GuestConfig(
            hostname=found.hostname,
            admin_pass=request.admin_pass,
            user_data=request.user_data,
            injected_files=request.injected_files,
            key_name=request.key_name,
            public_key=request.public_key,
            metadata=found.server_metadata,
            availability_zone=found.zone or found.availability_zone or "nova",
            launch_index=found.launch_index,
            project_id=found.project_id,
        )

    def activate(self, done: BuildDone) -> None:
        with self._db.transaction() as store:
            found: dict[str, Any] = {"server": done.instance_id, "power": done.power_state, "at": done.host}
            found |= {"moment": now(), "carried": [network_of(vif) for vif in done.vifs]}
            if done.volumes:
                living = (instances.c.id == done.instance_id, instances.c.deleted_at.is_(None))
                by_id = {volume.volume_id: volume for volume in done.volumes}
                found["attached"] = [
                    {**known, "device": by_id[known["volume_id"]].device or known.get("device")}
                    for known in store.scalar(select(instances.c.volumes).where(*living)) or ()
                    if known["volume_id"] in by_id
                ]
            if not store.execute(WITH_VOLUMES if done.volumes else ACTIVE, found).rowcount:
                raise hopeless(f"Instance {done.instance_id} is gone.", code=409)
            host_failures.count(store, done.instance_id, done.request_id, done.tried, done.host)
            actions.finish(store, done.instance_id, done.request_id, [*done.steps, actions.over("mark_active")], None)

    def fail(self, failed: BuildFailed) -> None:
        with self._db.write() as session:
            found = session.get(Instance, failed.instance_id)
            if found is None or found.deleted_at is not None or (found.launched_at is not None and not failed.began):
                return
            if 0 < failed.attempt < found.claims:
                return  # Temporal's Reset let an old run end; a later run has the server
            found.vm_state, found.task_state, found.parked, found.host = "error", None, None, None
            found.power_state, found.fault, found.updated_at = 0, fault_of(failed.fault), now()
            found.launched_at = None
            found.networks, found.volumes = [], _made_for(found.volumes)  # all else was given back
            if failed.addresses and found.sealed_request:
                found.sealed_request = self._preferring(failed.addresses, found.sealed_request)
            if failed.refused:
                found.vm_state, found.deleted_at, found.sealed_request = "deleted", now(), None
            session.add(found)
            host_failures.count(session, failed.instance_id, failed.request_id, failed.tried)
            steps = [*failed.steps, actions.over("fail_record", failed.fault.message)]
            actions.finish(session, failed.instance_id, failed.request_id, steps, failed.fault.message)

    def _preferring(self, addresses: dict[str, str], sealed: str) -> str:
        """The request, to be asked again with the addresses that its ports had."""
        request = BootRequest.model_validate_json(self._ring.unseal(sealed))
        for port in request.ports:
            port.preferred_ip = addresses.get(port.port_id, port.preferred_ip)
        return self._ring.seal(request.model_dump_json())

    def park(self, instance_id: str, where: str | None) -> None:
        with self._db.write() as session:
            changed = {"parked": where, "updated_at": now()}
            session.execute(update(Instance).where(col(Instance.id) == instance_id).values(**changed))

    def begin_delete(self, req: DeleteRequest) -> DeletePlan:
        with self._db.write() as session:
            found = session.get(Instance, req.instance_id)
            if found is None or found.deleted_at is not None:
                return DeletePlan(instance_id=req.instance_id, found=False)
            begun = session.get(InstanceAction, (found.id, req.requester.request_id)) is not None
            if req.follows and not begun and not causes.holds(session, found, req.follows):
                return DeletePlan(instance_id=req.instance_id, found=False)
            launched = bool(found.launched_at)
            doing = states.deleting(req.reclaim_after_s, found.vm_state, launched=launched, host=found.host)
            found.task_state, found.updated_at = doing, now()
            session.add(found)
            if not begun:
                actions.begin(session, found.id, req.requester, "delete")
            if req.cut_off:
                actions.finish(session, found.id, req.cut_off.request_id, req.cut_off.steps, "given up for a delete")
                for column, value in req.cut_off.left.items():
                    setattr(found, column, value)
            over = found.launched_at is None and bool(found.vm_state == "error" or req.cut_off or req.keep_as)
            plan = self._plan(session, found, given_back=over)
            return plan.model_copy(update={"softly": doing == states.SOFT_DELETING})

    def _plan(self, session: Session, found: Instance, *, given_back: bool) -> DeletePlan:
        """`given_back`: the tenant's volumes were, at a build's end, and may be another server's by now."""
        held = text("SELECT host, attempt FROM allocations WHERE consumer_id = :id")
        claim = session.execute(held, {"id": found.id}).first()
        ports = {**found.requested_ports}
        ports |= {n["port_id"]: ports.get(n["port_id"], True) for n in found.networks}
        volumes = _made_for(found.volumes) if given_back else found.volumes
        host = claim.host if claim else (found.host or "")
        return DeletePlan(
            instance_id=found.id,
            project_id=found.project_id,
            name=found.name,
            host=host,
            attempt=claim.attempt if claim else 0,
            **resizes.left(session, found, host),
            image_id=found.image_ref,
            shelved_image=actions.shelved_image(session, found, ever=True),
            port_ids=ports,
            volumes=[VolumeRequest.model_validate(volume) for volume in volumes],
        )

    def require_room(self, want: RoomWanted, require_room: usage.RequireRoom) -> None:
        """See `activities.instance.Instance.require_room`."""
        with self._db.read() as session:
            found = session.get_one(Instance, want.instance_id)
            more = {"instances": 1, "cores": found.vcpus, "ram": found.memory_mb}
            require_room(want.quota, usage.used(session, found.project_id), more)

    def soften(self, deleted: Deleted) -> None:
        """See `activities.instance.Instance.finish_delete`, of a server that can be restored."""
        with self._db.write() as session:
            found = session.get(Instance, deleted.instance_id)
            if found is None or found.deleted_at is not None:
                return
            found.vm_state, found.task_state, found.power_state = states.SOFT_DELETED, None, SHUTDOWN
            found.updated_at = now()
            session.add(found)
            steps = [*deleted.steps, actions.over("finish_delete")]
            actions.finish(session, deleted.instance_id, deleted.request_id, steps, None)

    def finish_delete(self, deleted: Deleted) -> None:
        with self._db.write() as session:
            found = session.get(Instance, deleted.instance_id)
            if found is None or found.deleted_at is not None:
                return
            found.task_state, found.parked, found.host = None, None, None
            found.power_state, found.networks, found.volumes = 0, [], []
            found.updated_at = now()
            if deleted.fault:
                found.vm_state, found.fault = "error", fault_of(deleted.fault)
            else:
                found.vm_state, found.deleted_at, found.sealed_request = "deleted", now(), None
                session.execute(text("DELETE FROM console_tokens WHERE instance_id = :id"), {"id": deleted.instance_id})
            session.add(found)
            why = deleted.fault.message if deleted.fault else None
            steps = [*deleted.steps, actions.over("finish_delete", why)]
            actions.finish(session, deleted.instance_id, deleted.request_id, steps, why)


def _again(store: Connection, known: Row[Any], req: BootRequest) -> None:
    """The same build once more: its action is there, and an ERROR before the first start is over."""
    if known.deleted_at is not None:
        raise hopeless(f"Instance {req.instance_id} is deleted.", code=409)
    if known.launched_at is not None and known.request_id != req.requester.request_id:  # its own: a reset in Temporal
        raise hopeless(f"Instance {req.instance_id} was built already.", code=409)
    this = (known_actions.c.instance_id == req.instance_id, known_actions.c.request_id == req.requester.request_id)
    if store.execute(select(known_actions.c.request_id).where(*this)).first() is None:
        actions.begin(store, req.instance_id, req.requester, req.action)
    if known.vm_state == "error":
        anew: dict[str, Any] = {
            "vm_state": states.BUILDING,
            "task_state": states.SCHEDULING,
            "fault": null(),
            "parked": None,
        }
        anew |= {"volumes": [volume.model_dump() for volume in req.volumes]}
        store.execute(update(instances).where(instances.c.id == req.instance_id).values(updated_at=now(), **anew))


def _made_for(volumes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that a build made, which go with it; a volume of the tenant's own may be another server's by now."""
    return [{**volume, "delete_on_termination": True} for volume in volumes if volume.get("create")]


def _new_instance(req: BootRequest, flavor: Row[Any], ring: KeyRing) -> dict[str, Any]:
    """The row; what it does not name has the column's default."""
    facts = FlavorFacts.model_validate(flavor, from_attributes=True)
    keep = req.model_copy(update={"requester": req.requester.model_copy(update={"token": ""})})
    return {
        "id": req.instance_id,
        "project_id": req.requester.project_id,
        "user_id": req.requester.user_id,
        "reservation_id": req.reservation_id,
        "launch_index": req.launch_index,
        "request_id": req.requester.request_id,
        "name": req.name,
        "description": req.description,
        "hostname": req.hostname,
        "image_ref": req.image_id,
        "image_properties": req.image_properties,
        "trusted_certificates": req.trusted_certificates or null(),
        "flavor_id": flavor.id,
        "flavor": facts.model_dump(),
        "vcpus": flavor.vcpus,
        "memory_mb": flavor.ram,
        "root_gb": flavor.disk,
        "key_name": req.key_name,
        "availability_zone": req.availability_zone,
        "pinned_zone": req.availability_zone,
        "server_group_id": req.server_group,
        "scheduler_hints": req.shown_hints,
        "config_drive": req.config_drive,
        "disk_config": req.disk_config,
        "access_ip_v4": req.access_ip_v4,
        "access_ip_v6": req.access_ip_v6,
        "task_state": states.SCHEDULING,
        "server_metadata": req.metadata,
        "tags": req.tags,
        "security_groups": req.security_group_names,
        "volumes": [volume.model_dump() for volume in req.volumes],
        "local_disks": [disk.model_dump() for disk in req.local_disks],
        "requested_ports": {port.port_id: port.mine for port in req.ports},
        "request_digest": req.digest,
        "sealed_request": ring.seal(keep.model_dump_json()),
    }
