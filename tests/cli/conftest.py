"""A small cloud of real processes, supervised in a directory of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from workers import procfs, supervisor
from workers.plan import Plan, read_status
from workers.probes import Probe
from workers.process import Spec


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.02)


class Cloud:
    """Processes `web` (an HTTP server), `child` (a shell with a child of its own) and `last`, which needs web."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.port = free_port()
        (state_dir / "run").mkdir()
        (state_dir / "log").mkdir()
        (state_dir / "web").mkdir()
        web = [sys.executable, "-m", "http.server", str(self.port), "--bind", "127.0.0.1", "-d", str(state_dir / "web")]
        self.specs = [
            Spec(
                "web", web, probe=Probe("http", f"http://127.0.0.1:{self.port}/", "listing"), ports={"http": self.port}
            ),
            Spec("child", ["/bin/sh", "-c", "sleep 300 & wait"], probe=Probe("running", "0.1")),
            Spec("last", ["sleep", "300"], after=["web"], awaits=["web"], probe=Probe("running", "0")),
        ]
        self.save()
        self.supervisors: list[subprocess.Popen[bytes]] = []

    def save(self) -> None:
        Plan(self.state_dir, {"PATH": os.environ["PATH"]}, self.specs).save()

    @property
    def plan(self) -> Plan:
        return Plan.load(self.state_dir)

    def start(self) -> "subprocess.Popen[bytes]":
        started = subprocess.Popen([sys.executable, "-m", "workers.supervisor", str(self.state_dir)])
        self.supervisors.append(started)
        return started

    def pid(self, name: str) -> int:
        return int((self.state_dir / "run" / f"{name}.pid").read_text())

    def unit(self, name: str) -> dict[str, object]:
        units: dict[str, dict[str, object]] = read_status(self.state_dir).get("units", {})
        return units.get(name, {})

    def ready(self) -> bool:
        return all(self.unit(spec.name).get("state") == "ready" for spec in self.specs)

    def everything(self) -> list[int]:
        """Live processes of all units' sessions."""
        leaders = [int(file.read_text()) for file in (self.state_dir / "run").glob("*.pid")]
        return [pid for leader in leaders for pid in procfs.session_members(leader)]

    def end(self) -> None:
        for started in self.supervisors:
            if started.poll() is None:
                started.send_signal(signal.SIGTERM)
                started.wait(20)
        supervisor.stop_orphans(self.plan)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    small = Cloud(tmp_path)
    yield small
    small.end()
