"""Claims of a resize: record steps."""

from typing import TYPE_CHECKING

from activities.quota import require_room
from activities.step import record_step
from infra.contracts.resize import ResizeClaim, ResizeClaimed

if TYPE_CHECKING:
    from infra.stores.resizes import Resizes


class Resize:
    def __init__(self, resizes: "Resizes") -> None:
        self._resizes = resizes

    @record_step
    def claim_resize(self, want: ResizeClaim) -> ResizeClaimed:
        """Have the server hold its new flavor on its host, or on another where that has no room, and the migration its
        old one on the host that it has.

        Idempotent by the migration's id. Raises Hopeless: 403 over quota, 400 when no host has room."""
        return self._resizes.claim(want, require_room)

    @record_step
    def release_resize(self, want: ResizeClaim) -> None:
        """Undo of `claim_resize`. No claim of the migration is success."""
        self._resizes.release(want)

    @record_step
    def confirm_claim(self, want: ResizeClaim) -> None:
        """The old flavor's share is free. No claim of the migration is success."""
        self._resizes.confirm(want.instance_id, want.migration)

    @record_step
    def revert_claim(self, want: ResizeClaim) -> None:
        """The server holds its old flavor again, where it was. No claim of the migration is success."""
        self._resizes.revert(want.instance_id, want.migration)
