"""`kilonova build replay FILE` on recorded histories, as a process: what an operator sees."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflows.histories import HISTORIES

KILONOVA = Path(sys.executable).with_name("kilonova")


def replay(file: Path, state_dir: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "KILONOVA_STATE_DIR": str(state_dir)}
    argv = [str(KILONOVA), "build", "replay", str(file)]
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A history in which another step was recorded where `spawn` is today."""
    events = json.loads((HISTORIES / "boot_instance-good.json").read_text())
    for event in events["events"]:
        scheduled = event.get("activityTaskScheduledEventAttributes", {})
        if scheduled.get("activityType", {}).get("name") == "spawn":
            scheduled["activityType"]["name"] = "start_guest"
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(events))
    return file


def test_each_step_is_shown_with_input_and_result(tmp_path: Path) -> None:
    done = replay(HISTORIES / "boot_instance-good.json", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "today's code does the same" in done.stdout
    for step in ("validate_token @ control", "claim_host @ control", "fetch_to_host @ compute.", "spawn @ compute."):
        after = done.stdout.split(step, 1)[1]
        assert after.splitlines()[1].strip().startswith('input: {"'), step
        assert after.splitlines()[2].strip().startswith("result: "), step
    assert '"token": "***"' in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_failures_are_shown(tmp_path: Path) -> None:
    done = replay(HISTORIES / "boot_instance-failed.json", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "failure: failed: injected at spawn" in done.stdout


def test_the_first_difference_is_shown(broken: Path, tmp_path: Path) -> None:
    done = replay(broken, tmp_path)
    assert done.returncode == 1
    difference = done.stdout.split("first difference:", 1)[1]
    assert "start_guest" in difference and "spawn" in difference
    assert "claim_host @ control" in done.stdout  # the steps are there all the same


def test_what_is_no_history_is_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "notes.json"
    file.write_text("not a history")
    done = replay(file, tmp_path)
    assert done.returncode == 1
    assert "is not a recorded history" in done.stdout
    assert "Traceback" not in done.stderr
