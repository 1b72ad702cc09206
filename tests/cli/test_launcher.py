"""The launcher: makes the environment once, again when the lock changes, afresh after an interruption."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = """#!/bin/sh
# Stands in for Python and for uv: keeps a record of what it is asked, and makes what the launcher looks for.
echo "$*" >>"$RECORD"
for last; do :; done
case "$*" in
  "-c "*) exit 0 ;;
  "-m venv --clear "*)
    mkdir -p "$last/bin"
    cp "$0" "$last/bin/python"
    ;;
  "-m pip "*uv.txt) cp "$0" "$(dirname "$0")/uv" ;;
  *" venv --allow-existing "*)
    mkdir -p "$last/bin"
    cp "$0" "$last/bin/python"
    echo "VIRTUAL_ENV=$last" >"$last/bin/activate"
    ;;
  *" -e "*)
    [ -z "${SLOW:-}" ] || sleep "$SLOW"
    printf '#!/bin/sh\\necho "state=$KILONOVA_STATE_DIR" "$@"\\n' >"$VIRTUAL_ENV/bin/kilonova"
    chmod +x "$VIRTUAL_ENV/bin/kilonova"
    ;;
esac
"""


class Checkout:
    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        shutil.copy(ROOT / "kilonova", root / "kilonova")
        shutil.copytree(ROOT / "infra" / "packages", root / "infra" / "packages")
        (root / "requirements.lock").write_text("setuptools==1 \\\n    --hash=sha256:00\ntyper==1\n")
        (root / "pyproject.toml").write_text('[project]\nname = "kilonova"\n[tool.ruff]\nline-length = 120\n')
        self.record = root / "record"
        python = root / "python"
        python.write_text(PYTHON)
        python.chmod(0o755)
        self.env = {
            "PATH": os.environ["PATH"],
            "RECORD": str(self.record),
            "KILONOVA_PYTHON": str(python),
            "KILONOVA_SKIP_PACKAGES": "1",
        }

    def start(self, *arguments: str, path: Path | None = None, **env: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [str(path or self.root / "kilonova"), *arguments],
            env={**self.env, **env},
            cwd="/",
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, *arguments: str, path: Path | None = None, **env: str) -> str:
        process = self.start(*arguments, path=path, **env)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        return out

    def installs(self) -> int:
        return self.record.read_text().count(" -e ") if self.record.exists() else 0


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


def test_makes_the_environment_once_and_is_quick_then(checkout: Checkout) -> None:
    assert checkout.run("status") == f"state={checkout.root}/var status\n"
    record = checkout.record.read_text()
    asked = ("-m venv --clear", "uv.txt", "venv --allow-existing", ".builders", "pip sync", " -e ")
    assert sorted(asked, key=record.index) == list(asked)
    assert record.count("--require-hashes") == 3
    begun = time.monotonic()
    checkout.run("status")
    assert time.monotonic() - begun < 0.5
    assert checkout.record.read_text() == record


def test_follows_links_and_keeps_a_given_state_directory(checkout: Checkout, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(checkout.root / "kilonova")
    assert checkout.run("up", path=link) == f"state={checkout.root}/var up\n"
    assert checkout.run("up", KILONOVA_STATE_DIR="/elsewhere") == "state=/elsewhere up\n"


def test_installs_again_when_the_lock_changed_but_not_for_a_linter_setting(checkout: Checkout) -> None:
    checkout.run("status")
    with (checkout.root / "pyproject.toml").open("a") as file:
        file.write("target-version = 'py311'\n")
    checkout.run("status")
    assert checkout.installs() == 1
    with (checkout.root / "requirements.lock").open("a") as file:
        file.write("rich==1\n")
    checkout.run("status")
    assert checkout.installs() == 2
    assert checkout.record.read_text().count("-m venv") == 1


def test_starts_afresh_after_an_interruption(checkout: Checkout) -> None:
    interrupted = checkout.start("status", SLOW="30")
    venv = checkout.root / ".venv"
    while checkout.installs() == 0:
        time.sleep(0.02)
    os.killpg(interrupted.pid, 9)
    interrupted.communicate()
    (venv / "half").write_text("installed")
    checkout.run("status")
    assert not (venv / "half").exists()
    assert not (venv / ".kilonova-installing").exists()


def test_two_at_once_install_once(checkout: Checkout) -> None:
    both = [checkout.start("status", SLOW="0.5") for _ in range(2)]
    assert [process.communicate(timeout=30)[0] for process in both] == [f"state={checkout.root}/var status\n"] * 2
    assert checkout.installs() == 1


def test_leaves_the_environment_of_a_running_cloud_alone(checkout: Checkout, tmp_path: Path) -> None:
    checkout.run("status")
    (tmp_path / "run").mkdir()
    lock = tmp_path / "run" / "supervisor.lock"
    lock.touch()
    holder = subprocess.Popen(["flock", str(lock), "sleep", "60"], start_new_session=True)
    try:
        while subprocess.run(["flock", "-n", str(lock), "true"], check=False).returncode == 0:
            time.sleep(0.02)
        (checkout.root / "requirements.lock").write_text("typer==2\n")
        checkout.run("status", KILONOVA_STATE_DIR=str(tmp_path))
        assert checkout.installs() == 1
    finally:
        os.killpg(holder.pid, 9)
        holder.wait()
    checkout.run("status", KILONOVA_STATE_DIR=str(tmp_path))
    assert checkout.installs() == 2
