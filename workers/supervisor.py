"""The supervisor: starts the plan's processes in order, keeps them running, stops them in reverse order.

A daemon of its own (`python -m workers.supervisor STATE`), on the standard library alone so that it stays small.
When it is killed its processes go on; the next supervisor finds and adopts them.
"""

import fcntl
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workers import reserves
from workers.plan import Plan, read_status, status_file, write_atomically
from workers.process import Process
from workers.unit import Unit, run_on_stop

LOG_CAP_BYTES = 20 * 1024 * 1024
ROTATE_EVERY_S = 5.0


class AlreadyRunning(Exception):
    """Another supervisor holds this state directory."""


class Supervisor:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._writing = threading.Lock()
        self._unpublished = False
        self.units: dict[str, Unit] = {}
        for level in plan.levels():
            for spec in level:
                needs = [self.units[name] for name in spec.awaits]
                self.units[spec.name] = Unit(spec, plan.place, needs, self.publish)

    def publish(self) -> None:
        """Write the status file; called at each change of a unit's state. Without room, `look_after` does it later."""
        with self._writing:
            units = {name: unit.report() for name, unit in self.units.items()}
            status = json.dumps({"supervisor": os.getpid(), "units": units})
            try:
                write_atomically(status_file(self.plan.state_dir), status)
            except OSError:
                self._unpublished = True
            else:
                self._unpublished = False

    def look_after(self) -> None:
        """What is due from time to time; nothing of it may end the supervisor."""
        reserves.keep(self.plan.state_dir)
        rotate(self.plan.place.log)
        if self._unpublished:
            self.publish()

    def start(self) -> None:
        self.publish()
        for unit in self.units.values():
            unit.start()

    def stop(self) -> None:
        """Stop all units, level by level from the last one; those of a level at the same time."""
        for unit in self.units.values():
            if unit.state == "waiting":
                unit.halted.set()
        for level in reversed(self.plan.levels()):
            together([threading.Thread(target=self.units[spec.name].halt) for spec in level])
        self.publish()


def together(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def stop_orphans(plan: Plan) -> None:
    """Stop the processes of a cloud whose supervisor is dead."""

    def stop(name: str) -> None:
        spec = specs[name]
        process = Process.find(name, plan.place)
        if process is not None:
            run_on_stop(spec, plan.place)
            process.stop(spec.stop_grace_s)
            process.close()
        plan.place.pid_file(name).unlink(missing_ok=True)

    specs = {spec.name: spec for spec in plan.specs}
    for level in reversed(plan.levels()):
        together([threading.Thread(target=stop, args=(spec.name,)) for spec in level])


def rotate(log_dir: Path, cap: int = LOG_CAP_BYTES) -> None:
    """Move what a too long log holds to NAME.log.1; writers append, so they go on at the emptied file's start. Where
    there is no room for a copy, its lines are given up."""
    for log in log_dir.glob("*.log"):
        if log.stat().st_size > cap:
            kept = log.with_suffix(".log.1")
            kept.unlink(missing_ok=True)
            try:
                _copy(log, kept)
            except OSError:
                kept.unlink(missing_ok=True)
            os.truncate(log, 0)


def _copy(log: Path, kept: Path) -> None:
    with (
        log.open("rb") as source,
        os.fdopen(os.open(kept, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as copy,
    ):
        while chunk := source.read(1 << 20):
            copy.write(chunk)


@contextmanager
def held(lock: Path, *, patience_s: float = 0.0) -> Iterator[None]:
    """Hold `lock` (flock, freed by death); AlreadyRunning when another process still has it after `patience_s`."""
    end = time.monotonic() + patience_s
    with os.fdopen(os.open(lock, os.O_CREAT | os.O_RDWR, 0o600), "w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= end:
                    raise AlreadyRunning(str(lock)) from error
                time.sleep(0.02)
        yield


def lock_file(state_dir: Path) -> Path:
    return state_dir / "run" / "supervisor.lock"


def running(state_dir: Path) -> int:
    """PID of the supervisor that holds this state directory, 0 for none."""
    try:
        with held(lock_file(state_dir)):
            return 0
    except FileNotFoundError:
        return 0
    except AlreadyRunning:
        return int(read_status(state_dir).get("supervisor", -1))


def main(state_dir: Path) -> int:
    plan = Plan.load(state_dir)
    wake_r, wake_w = os.pipe()
    os.set_blocking(wake_w, False)
    signal.set_wakeup_fd(wake_w)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    with held(lock_file(state_dir), patience_s=1.0):  # `running` holds it for a moment, too
        pid_file = plan.place.pid_file("supervisor")
        write_atomically(pid_file, f"{os.getpid()}\n")
        supervisor = Supervisor(plan)
        supervisor.start()
        while not set(os.read(wake_r, 64) if _readable(wake_r, ROTATE_EVERY_S) else b"") & {
            signal.SIGTERM,
            signal.SIGINT,
        }:
            supervisor.look_after()
        supervisor.stop()
        pid_file.unlink(missing_ok=True)
    return 0


def _readable(fd: int, timeout_s: float) -> bool:
    return bool(select.select([fd], [], [], timeout_s)[0])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
