"""Where an instance runs (seed steps 8-11): filters, weighers, one atomic claim, alternates."""

from typing import TYPE_CHECKING

from activities.step import record_step
from infra.contracts.placement import Claimed, ClaimRequest, HostRef

if TYPE_CHECKING:
    from infra.stores.claims import Claims


class Placement:
    def __init__(self, claims: "Claims") -> None:
        self._claims = claims

    @record_step
    def claim_host(self, want: ClaimRequest) -> Claimed:
        """Choose a host and take the instance's share of it, in one transaction.

        Idempotent: a claim on a host that was not tried yet is returned as it is. Raises Hopeless `NoValidHost`,
        whose message counts the hosts left after each filter and whose details name host and filter (admins)."""
        return self._claims.claim(want)

    @record_step
    def release_host(self, want: ClaimRequest) -> None:
        """Undo of `claim_host`. No claim is success, and a later attempt's stays."""
        self._claims.release(want.instance_id, want.attempt)

    @record_step
    def check_host(self, ref: HostRef) -> bool:
        """Whether the host has reported lately. Reads only."""
        return self._claims.is_up(ref.host)
