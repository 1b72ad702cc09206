"""The instance's record (seed steps 6-7, 14-19): made, filled in, failed, deleted. Runs where the database is."""

from typing import TYPE_CHECKING

from pydantic import BaseModel
from temporalio import activity

from activities.hypervisor import FlavorFacts
from activities.network import Vif
from activities.requests import BootRequest, DeleteRequest, Fault
from activities.step import Step
from activities.volume import VolumeConnection, VolumeRequest

if TYPE_CHECKING:
    from infra.records import Records


class InstanceRef(BaseModel):
    instance_id: str


class BuildDone(BaseModel):
    instance_id: str
    request_id: str
    host: str
    attempt: int
    power_state: int
    vifs: list[Vif]
    volumes: list[VolumeConnection]
    steps: list[Step]


class BuildFailed(BaseModel):
    instance_id: str
    request_id: str
    fault: Fault
    steps: list[Step]


class ParkedAt(BaseModel):
    instance_id: str
    step: str
    reason: str


class DeletePlan(BaseModel):
    """What a server holds, as its record knows it. `host` is "" when it never had one, or lost it."""

    instance_id: str
    project_id: str = ""
    name: str = ""
    host: str = ""
    attempt: int = 0
    image_id: str = ""
    port_ids: dict[str, bool] = {}  # port id -> ours to delete
    volumes: list[VolumeRequest] = []
    found: bool = True


class Deleted(BaseModel):
    instance_id: str
    request_id: str
    steps: list[Step]
    fault: Fault | None = None  # keep the record, in ERROR, instead of deleting it


class Instance:
    def __init__(self, records: "Records") -> None:
        self._records = records

    @activity.defn
    def create_record(self, req: BootRequest) -> None:
        """Record and action of a new server, within the project's quota.

        Idempotent by instance id: a record in `building` or further is left as it is, one in ERROR goes back to
        `building` (the same build runs again). Raises Hopeless: 403 over quota, 409 when the server is deleted."""
        self._records.create(req)

    @activity.defn
    def fetch_flavor(self, ref: InstanceRef) -> FlavorFacts:
        """The flavor as it was when the server was asked for, on behalf of the host. Reads only."""
        return self._records.flavor(ref.instance_id)

    @activity.defn
    def mark_active(self, done: BuildDone) -> None:
        """Write what the build found, and ACTIVE. Writing it again changes nothing."""
        self._records.activate(done)

    @activity.defn
    def fail_record(self, failed: BuildFailed) -> None:
        """ERROR with its fault, after everything else is undone. No record, or a deleted one, is success."""
        self._records.fail(failed)

    @activity.defn
    def park(self, where: ParkedAt) -> None:
        """Show that the build waits for a decision. Writing it again changes nothing."""
        self._records.park(where.instance_id, f"{where.step}: {where.reason}"[:255])

    @activity.defn
    def unpark(self, where: ParkedAt) -> None:
        self._records.park(where.instance_id, None)

    @activity.defn
    def begin_delete(self, req: DeleteRequest) -> DeletePlan:
        """Show `deleting`, and say what there is to undo. Absent or deleted already: `found` is false."""
        return self._records.begin_delete(req)

    @activity.defn
    def finish_delete(self, deleted: Deleted) -> None:
        """The server is gone; its row stays for the records. Writing it again changes nothing."""
        self._records.finish_delete(deleted)
