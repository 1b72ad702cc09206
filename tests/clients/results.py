"""What came of the clients' own tests: each that did not pass has its reason, or the run has failed."""

import fnmatch
import tomllib
from collections import Counter
from collections.abc import Sequence
from functools import cache

from tests.clients.outcomes import Outcome
from tests.clients.tools import HERE

PAGE = HERE.parents[1] / "docs" / "clients-results.md"
NAMES = {"osc": "python-openstackclient 10.5.0", "sdk": "openstacksdk 4.22.0"}
HEAD = """# The clients' own functional tests

python-openstackclient and openstacksdk bring functional tests in their wheels, which their projects run against
DevStack. `python -m tests.clients osc sdk` runs them unmodified against a cloud whose hosts run
libvirt's test driver, and fails when a test fails without a reason in `tests/clients/functional/reasons.toml`;
with KILONOVA_WRITE_DOCS=1 it writes this page. Left out are services that are not in the catalog: bare metal, load
balancers, shares, orchestration, DNS, keys, object storage, accelerators.
"""


@cache
def _reasons(suite: str) -> dict[str, str]:
    """Pattern of tests → why they do not pass."""
    with (HERE / "functional" / "reasons.toml").open("rb") as file:
        known = tomllib.load(file)[suite]
    return {pattern: entry["reason"] for entry in known for pattern in entry["tests"]}


def reason(suite: str, outcome: Outcome) -> str:
    """Empty for a failure that nobody has explained. A skip's reason is the test's own, unless there is one of ours."""
    for pattern, why in _reasons(suite).items():
        if fnmatch.fnmatchcase(outcome.test, pattern):
            return why
    return outcome.words if outcome.result == "skipped" else ""


def judged(suite: str, found: Sequence[Outcome]) -> str:
    """The counts; AssertionError with each failure that has no reason."""
    strange = [f"{each.test}: {each.words}" for each in found if each.result == "failed" and not reason(suite, each)]
    assert not strange, "\n".join(strange)
    return _counts(found)


def _counts(found: Sequence[Outcome]) -> str:
    count = Counter(each.result for each in found)
    return f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped"


def page(ended: dict[str, list[Outcome]]) -> str:
    return "\n".join([HEAD, *(_section(suite, ended[suite]) for suite in NAMES)])


def _section(suite: str, found: list[Outcome]) -> str:
    lines = [f"## {NAMES[suite]}", "", f"{_counts(found)}.", "", "| tests of | passed | failed | skipped |"]
    lines.append("|---|---|---|---|")
    areas: dict[str, Counter[str]] = {}
    for each in found:
        areas.setdefault(each.test.partition(".")[0], Counter())[each.result] += 1
    for area, count in sorted(areas.items()):
        lines.append(f"| {area} | {count['passed']} | {count['failed']} | {count['skipped']} |")
    lines += ["", "| test | result | reason |", "|---|---|---|"]
    rest = sorted((each for each in found if each.result != "passed"), key=lambda each: (each.result, each.test))
    lines += [f"| {each.test} | {each.result} | {_cell(reason(suite, each))} |" for each in rest]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|") or "not explained"
