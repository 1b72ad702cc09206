"""Chooses among the hosts that the store of claims found, and says why none will do."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from temporalio.exceptions import ApplicationError

from activities.scheduling.filters import ABILITIES, BINDING, FITS, Filters
from activities.scheduling.liveness import is_up
from activities.scheduling.weighers import best_first
from infra.contracts import abilities
from infra.contracts.placement import Candidate, ClaimRequest, Ear, Reported, Share
from infra.settings import Settings

NO_VALID_HOST = "NoValidHost"


class Scheduler:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._filters = Filters(settings, self.up)

    def up(self, service: Reported, at: datetime, ears: Sequence[Ear] = ()) -> bool:
        return is_up(service, at, timedelta(seconds=self._settings.host_down_after_s), ears)

    def choose(
        self, want: ClaimRequest, share: Share, candidates: Sequence[Candidate], at: datetime
    ) -> list[Candidate]:
        """Hosts that pass all filters, the best first. Raises `NoValidHost`, with the hosts left after each filter."""
        left = list(candidates)
        if want.forced_host:
            left = [c for c in left if c.host == want.forced_host and c.host not in want.tried]
        counts = {"start": len(left)}
        failed: list[str] = []
        for name, passes in self._filters.of(want, share, at):
            if want.forced_host and name not in BINDING:
                continue
            failed += [f"{c.host} failed {_named(name, want, c)}" for c in left if not passes(c)]
            left = [c for c in left if passes(c)]
            counts[name] = len(left)
            if not left:
                break
        if not left:
            raise no_valid_host(want, counts, failed)
        return best_first(left, want.company, self._settings, at)

    def lacking(self, share: Share, host: Candidate, at: datetime) -> list[str]:
        """The filters that find no room on the host for one guest of this share more."""
        every = self._filters.of(ClaimRequest(instance_id=""), share, at)
        return [name for name, passes in every if name in FITS and not passes(host)]


def _named(name: str, want: ClaimRequest, host: Candidate) -> str:
    """A filter, with what it misses where its name does not say so."""
    return f"{name} ({abilities.words(want.needs - host.abilities)})" if name == ABILITIES else name


def no_valid_host(want: ClaimRequest, counts: dict[str, int], failed: list[str]) -> ApplicationError:
    steps = ", ".join(f"{name}: {left}" for name, left in counts.items())
    message = f"No valid host was found. There are not enough hosts available. Hosts left after each filter: {steps}."
    if want.tried:
        message += " Tried before: " + "; ".join(f"{host}: {why}" for host, why in want.tried.items())
    why = "; ".join(failed + [f"{host} tried: {why}" for host, why in want.tried.items()])
    return ApplicationError(message, {"code": 500, "why": why}, type=NO_VALID_HOST, non_retryable=True)
