"""Whose is what lies on a host: every case of `verdict`."""

import pytest

from activities.auditing.verdicts import verdict
from infra.contracts.verdict import GONE, Known, Verdict


@pytest.mark.parametrize(
    ("known", "attempt", "wanted"),
    [
        (None, 1, Verdict.UNKNOWN),
        (Known(claims=1, held={"here": 1}), 1, Verdict.CLAIMED),
        (Known(claims=2, held={"here": 2, "there": 1}), 1, Verdict.CLAIMED),
        (Known(claims=2, held={"there": 2}), 1, Verdict.ELSEWHERE),
        (Known(claims=0, held={"there": 2}, recorded=False), 1, Verdict.ELSEWHERE),
        (Known(claims=1, held={"there": 1}), 2, Verdict.UNKNOWN),
        (Known(claims=1, launched=True, deleted=True), 1, Verdict.DELETED),
        (Known(claims=1, launched=True, deleted=True), 0, Verdict.DELETED),
        (Known(claims=1, launched=True, deleted=True), 2, Verdict.UNKNOWN),
        (Known(claims=1), 1, Verdict.RELEASED),
        (Known(claims=1), 0, Verdict.RELEASED),
        (Known(claims=0), 0, Verdict.UNKNOWN),
        (Known(claims=1, launched=True), 1, Verdict.UNKNOWN),
        (Known(claims=1, launched=True, offloaded=True), 1, Verdict.RELEASED),
        (Known(claims=2, launched=True, offloaded=True, held={"there": 2}), 1, Verdict.ELSEWHERE),
    ],
)
def test_every_case(known: Known | None, attempt: int, wanted: Verdict) -> None:
    assert verdict(known, "here", attempt) == wanted


def test_what_is_unknown_or_claimed_here_is_never_gone() -> None:
    assert set(Verdict) - {Verdict.UNKNOWN, Verdict.CLAIMED} == GONE
