"""The commands themselves: a cloud on libvirt's test driver comes up, is adopted, and goes without a trace."""

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import wait_for
from tests.ports import free_offset
from workers import procfs

KILONOVA = str(Path(sys.executable).with_name("kilonova"))
can_run_a_cloud = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("libvirtd"), reason="needs root and libvirtd"
)


class Shell:
    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("KILONOVA_")},
            "KILONOVA_STATE_DIR": str(state_dir),
            "KILONOVA_PORT_OFFSET": str(free_offset()),
        }

    def __call__(self, *arguments: str, timeout: float = 90) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [KILONOVA, *arguments], env=self.env, cwd="/", capture_output=True, text=True, timeout=timeout, check=False
        )

    def status(self) -> dict[str, object]:
        return {row["name"]: row for row in json.loads(self("status", "--json").stdout)["processes"]}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    typed = Shell(tmp_path)
    yield typed
    if (tmp_path / "run").exists():
        typed("down")


def test_help_is_there_without_a_cloud(shell: Shell) -> None:
    words = shell("--help").stdout
    for command in ("up", "down", "status", "openrc", "exec", "demo", "test", "worker"):
        assert f" {command} " in words


def test_before_the_first_up(shell: Shell) -> None:
    assert shell("status").returncode == 3
    assert shell("openrc", "demo").returncode == 1
    assert shell("openrc", "nobody").returncode == 2
    assert shell("down").returncode == 0


def test_exec_keeps_directory_environment_and_exit_status(shell: Shell) -> None:
    done = shell("exec", "--", "sh", "-c", "pwd; echo $KILONOVA_STATE_DIR; exit 7")
    assert (done.returncode, done.stdout) == (7, f"/\n{shell.state_dir}\n")
    assert shell("exec", "--", "no-such-command").returncode == 127
    assert shell("exec").returncode == 2


@can_run_a_cloud
def test_a_taken_port_is_named_before_anything_starts(shell: Shell) -> None:
    port = 5000 + int(shell.env["KILONOVA_PORT_OFFSET"])
    other = subprocess.Popen([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"])
    try:
        wait_for(lambda: procfs.listens(other.pid, port))
        refused = shell("up", "--driver", "test", "--no-image")
        assert refused.returncode == 1
        assert f"Port {port}" in refused.stdout
        assert shell("status").returncode == 3
    finally:
        other.kill()
        other.wait()


@can_run_a_cloud
def test_a_cloud_of_two_hosts_from_up_to_down(shell: Shell) -> None:
    first = shell("up", "--hosts", "2", "--driver", "test", "--no-image")
    assert first.returncode == 0, first.stdout
    with closing(sqlite3.connect(shell.state_dir / "db" / "compute.sqlite")) as store:
        reported = {host for (host,) in store.execute("SELECT host FROM compute_nodes")}
    assert reported == {"node1", "node2"}, "who reads Ready may boot at once"
    rows = shell.status()
    assert {"temporal", "api-services", "api-compute", "worker-control", "worker-compute-node2"} <= rows.keys()
    assert shell("status").returncode == 0
    for who in ("admin", "demo"):
        assert "OS_PASSWORD" in shell("openrc", who).stdout
        assert (shell.state_dir / f"{who}-openrc").stat().st_mode & 0o777 == 0o600
    pids = {name: int((shell.state_dir / "run" / f"{name}.pid").read_text()) for name in (*rows, "supervisor")}
    assert all(os.getsid(pid) == pid for pid in pids.values())
    loaded = {name: Path(f"/proc/{pid}/maps").read_text() for name, pid in pids.items()}
    lean = [name for name, files in loaded.items() if "temporal_sdk_bridge" not in files]
    assert {"console", "api-services", "keystone", "glance"} <= set(lean)
    assert not [name for name, files in loaded.items() if "/numpy/" in files or "/grpc/" in files]
    passwords = json.loads((shell.state_dir / "credentials.json").read_text()).values()
    collects = {name: "GOGC=60" in Path(f"/proc/{pid}/environ").read_text().split("\0") for name, pid in pids.items()}
    assert [name for name, sooner in collects.items() if sooner] == ["temporal"], "docs/benchmarks-history.md: memory"
    visible = [Path(f"/proc/{pid}/{what}").read_text() for pid in pids.values() for what in ("cmdline", "environ")]
    assert not any(password in text for password in passwords for text in visible)

    os.kill(pids["supervisor"], signal.SIGKILL)
    wait_for(lambda: not procfs.alive(pids["supervisor"]))
    assert shell("status").returncode == 1
    again = [subprocess.Popen([KILONOVA, "up", "--no-image"], env=shell.env, stdout=subprocess.DEVNULL) for _ in "12"]
    assert [process.wait(60) for process in again] == [0, 0]
    assert {name: row["pid"] for name, row in shell.status().items()} == {name: pids[name] for name in rows}  # type: ignore[index]

    pids["supervisor"] = int((shell.state_dir / "run" / "supervisor.pid").read_text())
    done = shell("down")
    assert done.returncode == 0, done.stdout
    assert not any(procfs.alive(pid) for pid in pids.values())
    assert not list((shell.state_dir / "run").glob("*.pid"))
    short = hashlib.sha256(str(shell.state_dir).encode()).hexdigest()
    assert not [*Path("/run/kilonova").glob(f"{short[:10]}*"), *Path("/run").glob(f"kilonova-{short[:8]}*")]
    assert (shell.state_dir / "credentials.json").exists()


def test_what_cannot_be_asked_is_said_in_a_line(tmp_path: Path) -> None:
    """No cloud there, nobody's password, no such server: exit status 2, words, no traceback."""
    shell = Shell(tmp_path)
    asked = {
        ("leaks",): "Temporal does not answer at",
        ("build", "replay", "server"): "Temporal does not answer at",
        ("build", "retry", "server"): "source an openrc first",
        ("build", "watch", "server"): "source an openrc first",
    }
    with ThreadPoolExecutor() as pool:  # two of them wait for a while
        answers = list(pool.map(lambda command: shell(*command), asked))
    for (command, words), done in zip(asked.items(), answers, strict=True):
        assert done.returncode == 2, command
        assert words in done.stderr and "Traceback" not in done.stderr, done.stderr
