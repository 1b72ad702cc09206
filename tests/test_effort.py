"""A part is a part: what one turn leaves out another asks, and who is named is asked whole."""

import os
import subprocess
from itertools import chain
from pathlib import Path

import pytest

from tests import effort
from workers.cli import checks


def test_all_turns_together_ask_all_of_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mechanism: `effort.of`. Each in the order of before; who takes no turns asks all at once."""
    things = [f"{number:02}" for number in range(8 * effort.PARTS)]
    monkeypatch.setattr(effort, "WHOLE", False)
    turns = []
    for turn in range(effort.PARTS):
        monkeypatch.setattr(effort, "TURN", turn)
        turns.append(effort.of(things))
    assert sorted(chain(*turns)) == things
    assert all(asked == sorted(asked) and len(asked) * effort.PARTS == len(things) for asked in turns)
    monkeypatch.setattr(effort, "WHOLE", True)
    assert effort.of(things) == things


def test_files_are_dealt_out_once_each_at_like_cost() -> None:
    costs = {f"{number}": float(number) for number in range(1, 41)}
    dealt = effort.hands(costs)
    assert sorted(chain(*dealt)) == sorted(costs)
    each = [sum(costs[name] for name in hand) for hand in dealt]
    assert max(each) - min(each) <= max(costs.values()) / effort.PARTS


CASES = """
import pytest

@pytest.mark.turns
@pytest.mark.parametrize("case", range(9))
def test_cases(case): pass

def test_always(): pass

def test_single(): pass
"""
A_FILE = """
def test_one(): pass

def test_two(): pass
"""


class Gathering:
    items: list[pytest.Item]

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.items = list(items)


def test_cases_and_tests_take_turns_and_files_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mechanism: `effort.left_out`."""
    files = {f"test_{name}.py": 2.0 for name in "abcdefgh"[: effort.PARTS]}
    tests = {"test_cases.py::test_single": 1.0}
    for name in files:
        (tmp_path / name).write_text(A_FILE)
    (tmp_path / "test_cases.py").write_text(CASES)
    found = Gathering()
    bare = ["--collect-only", "-q", "-s", "-p", "no:cacheprovider", "-p", "no:schemathesis", "-c", os.devnull]
    assert pytest.main([*bare, "--rootdir", str(tmp_path), str(tmp_path)], plugins=[found]) == 0
    every = {item.nodeid for item in found.items}
    assert len(every) == 11 + effort.PARTS * 2
    monkeypatch.setattr(effort, "WHOLE", False)
    monkeypatch.setattr(effort, "DEAR", files | tests)
    turns = []
    for turn in range(effort.PARTS):
        monkeypatch.setattr(effort, "TURN", turn)
        turns.append(every - {item.nodeid for item in effort.left_out(found.items)})
    assert set.union(*turns) == every and set.intersection(*turns) == {"test_cases.py::test_always"}
    assert sum(map(len, turns)) == len(every) + effort.PARTS - 1  # the one that takes none is in each
    whole = [sorted(name for name in files if f"{name}::test_one" in asked) for asked in turns]
    assert sorted(chain(*whole)) == sorted(files)
    assert all(f"{name}::test_two" in asked for [name], asked in zip(whole, turns, strict=True))
    monkeypatch.setattr(effort, "WHOLE", True)
    assert effort.left_out(found.items) == set()


def test_what_takes_turns_is_there() -> None:
    for name in effort.DEAR:
        file, _, test = name.partition("::")
        assert (effort.ROOT / file).is_file() and f"def {test}" in (effort.ROOT / file).read_text(), name


def test_only_a_run_of_all_that_is_not_ci_s_takes_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert checks.checks([])[-1].takes_turns
    assert not checks.checks(["tests/frame"])[-1].takes_turns and not checks.checks([], coverage=True)[-1].takes_turns
    monkeypatch.setenv("CI", "true")
    assert not checks.checks([])[-1].takes_turns


def test_each_commit_has_the_next_turn(tmp_path: Path) -> None:
    assert checks.turn(tmp_path) == "0"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=one", "-c", "user.email=one@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    for number in (1, 2):
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "a commit"], check=True)
        assert checks.turn(tmp_path) == str(number)
