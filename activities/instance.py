"""The instance's record (seed steps 6-7, 14-19): made, filled in, failed, deleted. Runs where the database is."""

from typing import TYPE_CHECKING

from activities.quota import require_room
from activities.step import record_step
from activities.transition import require
from infra.contracts.hypervisor import FlavorFacts, GuestConfig
from infra.contracts.instance import BuildDone, BuildFailed, Deleted, DeletePlan, InstanceRef, ParkedAt, RoomWanted
from infra.contracts.operation import ActionEnd, ActionRequest, InstanceFacts
from infra.contracts.requests import BootRequest, DeleteRequest

if TYPE_CHECKING:
    from infra.stores.instances import Records
    from infra.stores.transitions import Transitions


class Instance:
    def __init__(self, records: "Records", transitions: "Transitions") -> None:
        self._records, self._transitions = records, transitions

    @record_step
    def create_record(self, req: BootRequest) -> None:
        """Record and action of a new server, within the project's quota.

        Idempotent by instance id: a record in `building` or further is left as it is, one in ERROR goes back to
        `building` (the same build runs again). Raises Hopeless: 403 over quota, 409 when the server is deleted."""
        self._records.create(req, require_room)

    @record_step
    def fetch_flavor(self, ref: InstanceRef) -> FlavorFacts:
        """The flavor as it was when the server was asked for, on behalf of the host. Reads only."""
        return self._records.flavor(ref.instance_id)

    @record_step
    def fetch_guest(self, ref: InstanceRef) -> GuestConfig:
        """What the guest is told of itself, secrets included, as asked for last. Reads only."""
        return self._records.guest(ref.instance_id)

    @record_step
    def mark_active(self, done: BuildDone) -> None:
        """Write what the build found, and ACTIVE. Writing it again changes nothing."""
        self._records.activate(done)

    @record_step
    def fail_record(self, failed: BuildFailed) -> None:
        """ERROR with its fault, after everything else is undone. No record, or a deleted one, is success."""
        self._records.fail(failed)

    @record_step
    def begin_action(self, req: ActionRequest) -> InstanceFacts:
        """Show what is being done, if the server's state allows it, and say what there is to know of the server.

        Idempotent by the request's id: an action that ended before says so (`over`). Raises Hopeless: 404, or 409 in
        Nova's words."""
        return self._transitions.begin(req, require)

    @record_step
    def end_action(self, end: ActionEnd) -> None:
        """Write what changed, and that the action is over. No record, or a deleted one, is success."""
        self._transitions.end(end, "end_action")

    @record_step
    def fail_action(self, end: ActionEnd) -> None:
        """Put back the states that were, and the reason into the event list; with a fault, ERROR."""
        self._transitions.end(end, "fail_action")

    @record_step
    def park(self, where: ParkedAt) -> None:
        """Show that the build waits for a decision. Writing it again changes nothing."""
        self._records.park(where.instance_id, f"{where.step}: {where.reason}"[:255])

    @record_step
    def unpark(self, where: ParkedAt) -> None:
        self._records.park(where.instance_id, None)

    @record_step
    def begin_delete(self, req: DeleteRequest) -> DeletePlan:
        """Show `deleting`, and say what there is to undo. Absent or deleted already: `found` is false."""
        return self._records.begin_delete(req)

    @record_step
    def finish_delete(self, deleted: Deleted) -> None:
        """The server is gone; its row stays for the records. One that was deleted softly is off, and can be restored.
        Writing it again changes nothing."""
        if deleted.softly:
            self._records.soften(deleted)
        else:
            self._records.finish_delete(deleted)

    @record_step
    def require_room(self, want: RoomWanted) -> None:
        """Whether the quota has room for a server that is to count again. Reads only; Hopeless (403) when not."""
        self._records.require_room(want, require_room)
