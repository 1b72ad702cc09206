"""How the `kilonova` command ends, and what `kilonova test` runs once more."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from workers.cli import checks
from workers.cli.checks import Check, failed_files

ENDS = """
import atexit, sys
from workers.cli import main
{uses}
atexit.register(print, "finalized")
def app():
    print("all is done")
    sys.exit({code})
main.app = app
main.run()
"""


def ends(uses: str, code: str) -> tuple[int, str, str]:
    script = ENDS.format(uses=uses, code=code)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(("code", "status"), [("None", 0), ("0", 0), ("3", 3)])
def test_nothing_is_finalized_under_temporals_threads(code: str, status: int) -> None:
    """Mechanism: workers.cli.main.run. A thread of Temporal's core that calls into an interpreter which is being
    finalized aborts it: `kilonova leaks` had answered, and its exit status was 134."""
    assert ends("import temporalio.client", code) == (status, "all is done\n", "")


def test_without_them_it_ends_as_every_python_program(tmp_path: Path) -> None:
    assert ends("", "3") == (3, "all is done\nfinalized\n", "")
    assert ends("", "'words'") == (1, "all is done\nfinalized\n", "words\n")
    assert ends("import temporalio.client", "'words'")[0] == 1


def test_files_of_what_failed_are_run_whole(tmp_path: Path) -> None:
    assert failed_files(tmp_path) == []
    cache = tmp_path / ".pytest_cache" / "v" / "cache"
    cache.mkdir(parents=True)
    failed = ["tests/a/test_b.py::test_two[x::y]", "tests/a/test_b.py::test_one", "tests/a/test_a.py"]
    (cache / "lastfailed").write_text(json.dumps(dict.fromkeys(failed, True)))
    assert failed_files(tmp_path) == ["tests/a/test_a.py", "tests/a/test_b.py"]


def test_checks_run_beside_each_other_and_one_that_fails_fails_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first ends only when the last has begun."""
    waits = "until [ -e begun ]; do sleep 0.05; done; echo one; exit 3"
    all = [Check(name, ["sh", "-c", words], 20) for name, words in (("a", waits), ("b", "echo two"), ("c", ">begun"))]
    monkeypatch.setattr(checks, "checks", lambda *_: all)
    assert checks.run(tmp_path, []) == 1
    said = capfd.readouterr().out
    assert "== a\none\n" in said and "== b\ntwo\n" in said and "== 2 checks passed, 1 failed in" in said
    all[0] = Check("a", ["true"], 20)
    assert checks.run(tmp_path, []) == 0
    assert re.search(r"0 failed in \d+s; coverage was not measured \(--coverage\) ==", capfd.readouterr().out)


def test_coverage_is_measured_for_who_asks_and_by_ci() -> None:
    plain, covered = checks.checks([])[-1], checks.checks([], coverage=True)[-1]
    assert plain.again and covered.again
    assert not [word for word in (*plain.command, *plain.again) if "cov" in word]
    assert "--cov" in covered.command and {"--cov", "--cov-append"} <= {*covered.again}
    asked = re.findall(r"kilonova test.*", (Path(checks.__file__).parents[2] / ".ci" / "run").read_text())
    assert asked and all("--coverage" in each for each in asked)
