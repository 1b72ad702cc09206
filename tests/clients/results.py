"""What came of the clients' own tests: each that did not pass has its reason, or the run has failed."""

import fnmatch
import tomllib
from collections import Counter
from functools import cache

from tests.clients.outcomes import Outcome, Run
from tests.clients.tools import HERE

PAGE = HERE.parents[1] / "docs" / "clients-results.md"
NAMES = {"osc": "python-openstackclient 10.5.0", "sdk": "openstacksdk 4.22.0"}
HEAD = """# The clients' own functional tests

python-openstackclient and openstacksdk bring functional tests in their wheels, which their projects run against
DevStack. `python -m tests.clients osc sdk` runs them unmodified, each against a cloud of its own whose guests are
pretended by libvirt's test driver and whose host carries the networks. It fails when a test fails without a reason in
`tests/clients/functional/reasons.toml`, and when there is a reason left of which nothing fails; with
KILONOVA_WRITE_DOCS=1 it writes this page. Left out are services that are not in the catalog: bare metal, load
balancers, shares, orchestration, DNS, keys, object storage, accelerators.
"""


@cache
def _reasons(suite: str) -> dict[str, str]:
    """Pattern of tests → why they do not pass."""
    with (HERE / "functional" / "reasons.toml").open("rb") as file:
        known = tomllib.load(file)[suite]
    return {pattern: entry["reason"] for entry in known for pattern in entry["tests"]}


@cache
def _sure(suite: str) -> list[str]:
    """Patterns of tests that never pass."""
    with (HERE / "functional" / "reasons.toml").open("rb") as file:
        return [
            pattern for entry in tomllib.load(file)[suite] if "sometimes" not in entry for pattern in entry["tests"]
        ]


def reason(suite: str, outcome: Outcome) -> str:
    """Empty for a failure that nobody has explained. A skip's reason is the test's own, unless there is one of ours."""
    for pattern, why in _reasons(suite).items():
        if fnmatch.fnmatchcase(outcome.test, pattern):
            return why
    return outcome.words if outcome.result == "skipped" else ""


def judged(suite: str, run: Run, *, whole: bool = True) -> str:
    """The counts; AssertionError with each failure that has no reason, each reason of what does not fail, and how many
    tests were not reached."""
    strange = [f"{e.test}: {e.words}" for e in run.outcomes if e.result == "failed" and not reason(suite, e)]
    if whole:
        strange += [f"{pattern}: has a reason, and nothing that did not pass" for pattern in _idle(suite, run)]
    if run.unreached:
        strange.append(f"{len(run.unreached)} tests were not reached: --continue goes on")
    assert not strange, "\n".join([_counts(run), *strange])
    return _counts(run)


def _idle(suite: str, run: Run) -> list[str]:
    short = [each.test for each in run.outcomes if each.result != "passed"]
    return [pattern for pattern in _sure(suite) if not fnmatch.filter([*short, *run.unreached], pattern)]


def _counts(run: Run) -> str:
    count = Counter(each.result for each in run.outcomes)
    return f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped"


def page(ended: dict[str, Run]) -> str:
    return "\n".join([HEAD, *(_section(suite, ended[suite]) for suite in NAMES)])


def _section(suite: str, run: Run) -> str:
    found, all_reached = run.outcomes, "" if not run.unreached else f" {len(run.unreached)} were not reached."
    lines = [f"## {NAMES[suite]}", "", f"{_counts(run)}.{all_reached}", ""]
    lines += ["| tests of | passed | failed | skipped | not reached |", "|---|---|---|---|---|"]
    areas: dict[str, Counter[str]] = {}
    for test, result in [(e.test, e.result) for e in found] + [(test, "") for test in run.unreached]:
        areas.setdefault(test.partition(".")[0], Counter())[result] += 1
    for area, count in sorted(areas.items()):
        lines.append(f"| {area} | {count['passed']} | {count['failed']} | {count['skipped']} | {count['']} |")
    lines += ["", "| test | result | reason |", "|---|---|---|"]
    rest = sorted((each for each in found if each.result != "passed"), key=lambda each: (each.result, each.test))
    lines += [f"| {each.test} | {each.result} | {_cell(reason(suite, each))} |" for each in rest]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|") or "not explained"
