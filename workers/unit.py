"""Keeps one process running: waits for what it needs, starts it, probes it, starts it again when it dies."""

import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from workers.process import Place, Process, Spec, end_session

State = Literal["waiting", "starting", "ready", "restarting", "stopped"]
FIRST_BACKOFF_S, LAST_BACKOFF_S, STEADY_S = 0.2, 5.0, 10.0
PROBE_EVERY_S = 0.05


class Unit:
    """One thread per process. `changed` is called after each change of state."""

    def __init__(self, spec: Spec, place: Place, needs: "list[Unit]", changed: Callable[[], None]) -> None:
        self.spec, self.place, self.needs = spec, place, needs
        self.state: State = "waiting"
        self.restarts = 0
        self.last_exit: int | None = None
        self.process: Process | None = None
        self.halted = threading.Event()
        self.was_ready = threading.Event()
        self._changed = changed
        self._handover = threading.Lock()  # a process is either seen by halt() or sees that it came too late
        self._thread = threading.Thread(target=self._run, name=spec.name)

    def start(self) -> None:
        self._thread.start()

    def report(self) -> dict[str, object]:
        return {
            "state": self.state,
            "pid": self.process.pid if self.process else 0,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
        }

    def halt(self) -> None:
        """End the process for good: `on_stop` command, SIGTERM, SIGKILL, and the rest of its session."""
        with self._handover:
            already = self.halted.is_set()
            self.halted.set()
            process = self.process
        if process is not None and not already:
            run_on_stop(self.spec, self.place)
            process.stop(self.spec.stop_grace_s)
        self._thread.join()
        self.place.pid_file(self.spec.name).unlink(missing_ok=True)
        self._become("stopped")

    def _become(self, state: State) -> None:
        if self.state != state:
            self.state = state
            self._changed()

    def _run(self) -> None:
        process = Process.find(self.spec.name, self.place)
        if process is None and not self._needs_are_ready():
            return
        backoff = FIRST_BACKOFF_S
        while not self.halted.is_set():
            begun = time.monotonic()
            process = process or self._start()
            if process is not None and self._hold(process):
                self._watch(process)
                self._let_go(process)
            process = None
            if self.halted.is_set():
                return
            self._become("restarting")
            backoff = FIRST_BACKOFF_S if time.monotonic() - begun > STEADY_S else backoff
            self.halted.wait(backoff)
            backoff = min(2 * backoff, LAST_BACKOFF_S)
            self.restarts += 1

    def _hold(self, process: Process) -> bool:
        with self._handover:
            if not self.halted.is_set():
                self.process = process
                return True
        process.stop(self.spec.stop_grace_s)
        return False

    def _let_go(self, process: Process) -> None:
        self.last_exit = process.exit_code
        end_session(process.pid)
        with self._handover:
            self.process = None
            if not self.halted.is_set():
                process.close()

    def _needs_are_ready(self) -> bool:
        for unit in self.needs:
            while not unit.was_ready.wait(0.2):
                if self.halted.is_set():
                    return False
        return not self.halted.is_set()

    def _start(self) -> Process | None:
        try:
            return Process.start(self.spec, self.place)
        except OSError as error:
            words = f"supervisor: cannot start {self.spec.argv[0]}: {error.strerror}\n"
            with suppress(OSError), self.place.log_file(self.spec.name).open("a") as log:  # the disk may be full
                log.write(words)
            return None

    def _watch(self, process: Process) -> None:
        self._become("starting")
        while not process.ended(PROBE_EVERY_S):
            if self.spec.probe.passes(process.pid):
                self.was_ready.set()
                self._become("ready")
                process.ended(None)
                return


def run_on_stop(spec: Spec, place: Place) -> None:
    """The command that prepares a process's end, its output in the process's log; its failure stops nothing."""
    if not spec.on_stop:
        return
    with place.log_file(spec.name).open("ab") as log:
        try:
            subprocess.run(
                spec.on_stop,
                env={**place.env, **spec.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=60,
            )
        except (OSError, subprocess.SubprocessError) as error:
            log.write(f"supervisor: {type(error).__name__} in the stop command\n".encode())
