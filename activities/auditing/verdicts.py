"""Whose is what lies on a host? Asked by hosts that reconcile, and by the audit."""

from infra.contracts.verdict import Known, Verdict


def verdict(known: Known | None, host: str, attempt: int = 0) -> Verdict:
    """Of one instance on `host`, whose guest there was made by claim number `attempt` (0: nobody knows).

    A guest with a higher number than the records have given out is newer than they are: they were restored from a
    backup, or are another cloud's. So they say nothing about it."""
    if known is None:
        return Verdict.UNKNOWN
    if host in known.held:
        return Verdict.CLAIMED
    if attempt > max(known.claims, 0, *known.held.values()):
        return Verdict.UNKNOWN
    if known.deleted:
        return Verdict.DELETED
    if known.held:
        return Verdict.ELSEWHERE
    if known.recorded and known.claims and (known.offloaded or not known.launched):
        return Verdict.RELEASED
    return Verdict.UNKNOWN
