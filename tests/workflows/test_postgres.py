"""The same invariants with every store on PostgreSQL: production's shape of the stores."""

import os
import subprocess
import sys
from pathlib import Path

from tests.ports import free_offset
from tests.postgres import postgres

ROOT = Path(__file__).resolve().parents[2]
SOME = "run_twice or fail_before or host_that_cannot or delete_at_any or many_at_once"


def test_builds_and_deletes_hold_on_postgresql() -> None:
    with postgres(5432 + free_offset()) as server:
        env = {**os.environ, "KILONOVA_DATABASE_URL": server.databases()}
        invariants = ["tests/frame/test_builds.py", "tests/frame/test_places.py"]
        command = [sys.executable, "-m", "pytest", "-q", "-x", *invariants, "-k", SOME, "-p", "no:cacheprovider"]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "passed" in done.stdout
