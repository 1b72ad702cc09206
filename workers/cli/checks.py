"""`kilonova test`: linters, types, import contracts, tests, each within its time, then one line that says it all."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from workers.cli.screen import out

HERE = Path(sys.executable).parent
IN_TURNS = "TESTS_IN_TURNS"
_PRINTING = threading.Lock()


@dataclass(frozen=True)
class Check:
    name: str
    command: list[str]
    within_s: float
    again: list[str] | None = None  # with the files of tests that failed, once more; only what fails twice counts
    takes_turns: bool = False  # of the tests that do (`tests/effort.py`) those are asked whose turn it is


def checks(arguments: list[str], coverage: bool = False) -> list[Check]:
    """All checks; with arguments for pytest only pytest with these.

    `coverage`: pytest fails below 98 % of the branches of workflows/ and activities/. Without it, and outside CI, tests
    that take turns do so."""
    pytest = [str(HERE / "python"), "-m", "pytest", *(["--cov"] if coverage else [])]
    if arguments:
        return [Check("pytest", [*pytest, *arguments], 3300)]
    # Folders beside each other, each in its own process; tests/conftest.py says which come first. Three to a processor:
    # while guests boot and steps are held, others use it. With two to each, a seventh of both had nothing to do; with
    # four, tests waited longer for each other than they have patience.
    beside = ["-n", str(min(3 * (os.cpu_count() or 1), 8)), "--dist", "loadscope", "--no-loadscope-reorder"]
    return [
        Check("ruff check", [str(HERE / "ruff"), "check", "."], 120),
        Check("ruff format", [str(HERE / "ruff"), "format", "--check", "."], 120),
        Check("mypy", [str(HERE / "mypy")], 600),
        Check("import contracts", [str(HERE / "lint-imports"), "--no-logo"], 120),
        # Guests and clouds on a busy machine miss time limits now and then: the files of what failed are run once more
        # by themselves, whole because tests of a file may follow each other, and what fails both times has failed.
        Check(
            "pytest",
            [*pytest, *beside],
            3000,
            [*pytest, *(["--cov-append"] if coverage else [])],
            takes_turns=not (coverage or os.environ.get("CI")),
        ),
    ]


def run(root: Path, arguments: list[str], coverage: bool = False) -> int:
    """Exit status 0 when all pass. They run side by side, whether or not one has failed: mypy alone would leave the
    other processors idle for half a minute. pytest's words are shown as they come, the others' at their ends."""
    begun = time.monotonic()
    *others, last = checks(arguments, coverage)
    with tempfile.TemporaryDirectory(prefix="kilonova-test-") as state_dir, ThreadPoolExecutor() as pool:
        beside = [pool.submit(told, check, root, Path(state_dir)) for check in others]
        out.print(f"[bold]== {last.name}[/]")
        results = {last.name: bounded(last, root, Path(state_dir))}
        results |= {check.name: done.result() for check, done in zip(others, beside, strict=True)}
        if results[last.name] == 1 and last.again and (files := failed_files(root)):
            out.print(f"[yellow]== {last.name}: once more by themselves: {' '.join(files)}[/]")
            once_more = replace(last, command=[*last.again, *files], within_s=800)
            results[last.name] = bounded(once_more, root, Path(state_dir))
    failed = [name for name, code in results.items() if code]
    summary = f"{len(results) - len(failed)} checks passed, {len(failed)} failed in {time.monotonic() - begun:.0f}s"
    less = "" if coverage or arguments else "; coverage was not measured (--coverage)"
    less += "; of what takes turns a sixth was asked (CI=1 asks all)" if last.takes_turns else ""
    out.print(f"== {summary}{': ' + ', '.join(failed) if failed else ''}{less} ==")
    return 1 if failed else 0


def told(check: Check, root: Path, state_dir: Path) -> int:
    """As `bounded`; its words are shown all at once."""
    log = state_dir / check.name.replace(" ", "-")
    code = bounded(check, root, state_dir, log)
    with _PRINTING:
        out.print(f"[bold]== {check.name}[/]")
        print(log.read_text(), end="", flush=True)
    return code


def turn(root: Path) -> str:
    """How many commits there are: what fails is asked again until it is committed that it is mended."""
    counted = subprocess.run(["git", "-C", str(root), "rev-list", "--count", "HEAD"], capture_output=True, text=True)
    return counted.stdout.strip() or "0"


def failed_files(root: Path) -> list[str]:
    """Those of pytest's last run; none when it failed without a test, as below the coverage that it asks for."""
    known = root / ".pytest_cache" / "v" / "cache" / "lastfailed"
    return sorted({test.partition("::")[0] for test in json.loads(known.read_text())}) if known.exists() else []


def bounded(check: Check, root: Path, state_dir: Path, log: Path | None = None) -> int:
    """Exit status of the check, 124 when it was ended because it took too long. It sees nothing of a running cloud.

    `log`: where its words go; without one they are shown as they come."""
    own = {"KILONOVA_STATE_DIR": str(state_dir), "PATH": f"{HERE}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    cloud = ("KILONOVA_PORT_OFFSET", "KILONOVA_NETNS")
    env = {name: value for name, value in os.environ.items() if name not in cloud and not name.startswith("OS_")} | own
    if check.takes_turns:
        env[IN_TURNS] = turn(root)
    with log.open("w") if log else nullcontext() as said:
        process = subprocess.Popen(
            check.command,
            cwd=root,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT if said else None,
            start_new_session=True,
        )
    try:
        return process.wait(check.within_s)
    except subprocess.TimeoutExpired:
        out.print(f"[red]{check.name} took more than {check.within_s:.0f} s[/]")
        return 124
    except KeyboardInterrupt:
        return 130
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
