"""The instance's record (seed steps 6-7, 14-19): made, filled in, failed, deleted. Runs where the database is."""

from typing import TYPE_CHECKING

from activities.step import step
from infra.contracts.hypervisor import FlavorFacts
from infra.contracts.instance import BuildDone, BuildFailed, Deleted, DeletePlan, InstanceRef, ParkedAt
from infra.contracts.requests import BootRequest, DeleteRequest

if TYPE_CHECKING:
    from infra.records import Records


class Instance:
    def __init__(self, records: "Records") -> None:
        self._records = records

    @step
    def create_record(self, req: BootRequest) -> None:
        """Record and action of a new server, within the project's quota.

        Idempotent by instance id: a record in `building` or further is left as it is, one in ERROR goes back to
        `building` (the same build runs again). Raises Hopeless: 403 over quota, 409 when the server is deleted."""
        self._records.create(req)

    @step
    def fetch_flavor(self, ref: InstanceRef) -> FlavorFacts:
        """The flavor as it was when the server was asked for, on behalf of the host. Reads only."""
        return self._records.flavor(ref.instance_id)

    @step
    def mark_active(self, done: BuildDone) -> None:
        """Write what the build found, and ACTIVE. Writing it again changes nothing."""
        self._records.activate(done)

    @step
    def fail_record(self, failed: BuildFailed) -> None:
        """ERROR with its fault, after everything else is undone. No record, or a deleted one, is success."""
        self._records.fail(failed)

    @step
    def park(self, where: ParkedAt) -> None:
        """Show that the build waits for a decision. Writing it again changes nothing."""
        self._records.park(where.instance_id, f"{where.step}: {where.reason}"[:255])

    @step
    def unpark(self, where: ParkedAt) -> None:
        self._records.park(where.instance_id, None)

    @step
    def begin_delete(self, req: DeleteRequest) -> DeletePlan:
        """Show `deleting`, and say what there is to undo. Absent or deleted already: `found` is false."""
        return self._records.begin_delete(req)

    @step
    def finish_delete(self, deleted: Deleted) -> None:
        """The server is gone; its row stays for the records. Writing it again changes nothing."""
        self._records.finish_delete(deleted)
