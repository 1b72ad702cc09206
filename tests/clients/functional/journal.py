"""A plugin for the pytest that runs the clients' own tests: a line of JSON for each test as soon as it has ended.

`--journal FILE`: what FILE knows already is not run again, nor a test in which two runs have ended. Nothing of Kilonova
is imported here."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import pytest

OPTION = "--journal"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, type=Path, required=True)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Journal(config.getoption(OPTION)))


class Journal:
    """`test` is MODULE::CLASS::NAME below the root directory, `said` what pytest shows of a failure or a skip."""

    def __init__(self, file: Path) -> None:
        known = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        self.known = {entry["test"] for entry in known if "test" in entry}
        self.file: TextIO = file.open("a")
        self.phases: dict[str, list[pytest.TestReport]] = {}
        begun = Counter(entry["begun"] for entry in known if "begun" in entry)
        for test in [test for test, times in begun.items() if times > 1 and test not in self.known]:
            self._write({"test": test, "result": "failed", "seconds": 0, "said": "The run ended in it, twice."})
            self.known.add(test)

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        self._write({"collected": [_name(item.nodeid) for item in items]})
        done = [item for item in items if _name(item.nodeid) in self.known]
        config.hook.pytest_deselected(items=done)
        items[:] = [item for item in items if _name(item.nodeid) not in self.known]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._write({"begun": _name(nodeid)})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.phases.setdefault(report.nodeid, []).append(report)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        phases = self.phases.pop(nodeid, [])
        worst = next((each for each in phases if each.failed), None) or next((e for e in phases if e.skipped), None)
        seconds = round(sum(each.duration for each in phases), 1)
        result = worst.outcome if worst else "passed"
        self._write({"test": _name(nodeid), "result": result, "seconds": seconds, "said": _said(worst)})

    def _write(self, entry: dict[str, object]) -> None:
        self.file.write(json.dumps(entry) + "\n")
        self.file.flush()


def _name(nodeid: str) -> str:
    path, _, rest = nodeid.partition("::")
    return f"{path.removesuffix('.py').replace('/', '.')}::{rest}"


def _said(report: pytest.TestReport | None) -> str:
    if report is None:
        return ""
    if report.skipped and isinstance(report.longrepr, Sequence) and not isinstance(report.longrepr, str):
        return str(report.longrepr[-1]).removeprefix("Skipped: ")
    return report.longreprtext
