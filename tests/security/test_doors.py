"""Every door of a running cloud, tried by a local user who is nobody."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_offset

ROOT = Path(__file__).resolve().parents[2]
KILONOVA = ROOT / ".venv" / "bin" / "kilonova"


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a whole cloud as `kilonova up` starts it, on libvirt's test driver."""
    state = tmp_path_factory.mktemp("doors") / "state"
    for parent in state.parents[:3]:  # what is below is shut by itself, not by pytest's own directory
        if parent != Path("/tmp"):
            parent.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KILONOVA_")}
    env = {**kept, "KILONOVA_STATE_DIR": str(state), "KILONOVA_PORT_OFFSET": str(free_offset())}
    try:
        subprocess.run([KILONOVA, "up", "--driver", "test", "--hosts", "1", "--no-image"], env=env, check=True)
        yield state
    finally:
        subprocess.run([KILONOVA, "down"], env=env, check=True)


def tried(state_dir: Path, *options: str) -> tuple[int, list[str]]:
    """How many doors there are, and which of them are open."""
    command = [sys.executable, "-m", "tests.security.doors", str(state_dir), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    counted = re.search(r"^(\d+) doors tried", done.stdout, re.M)
    assert counted is not None, done.stdout + done.stderr
    return int(counted[1]), [line for line in done.stdout.splitlines() if line.startswith("OPEN")]


def test_nobody_comes_through_any_door(state_dir: Path) -> None:
    count, opened = tried(state_dir)
    assert count > 120 and opened == []


def test_they_are_doors(state_dir: Path) -> None:
    """To root they are open, but for what is shut to everybody: what needs a credential, what is in a namespace."""
    count, opened = tried(state_dir, "--as-root")
    kinds = {line.split()[1] for line in opened}
    assert len(opened) > count / 2 and {"file", "socket", "namespace", "environ"} <= kinds
