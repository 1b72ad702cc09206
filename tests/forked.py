"""Processes of ours that tests kill and start again, forked from one that has loaded them: to load them is most of
their start.

`Forked` is used as `subprocess.Popen` is. What it runs has its own environment, outputs and `__main__`."""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

LOADED = ("tests.volume.serve", "api.volume.app", "tests.network.serve")
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(list(LOADED))


class Forked:
    """`python -m ARGV…`; `log` gets what it says."""

    def __init__(self, argv: list[str], env: dict[str, str], log: Path) -> None:
        self._process = _CONTEXT.Process(target=_become, args=(argv, env, str(log)))
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _become(argv: list[str], env: dict[str, str], log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for output in (1, 2):
        os.dup2(descriptor, output)
    os.environ.clear()
    os.environ.update(env)
    sys.modules.pop(argv[0], None)  # it runs anew
    sys.argv = argv[:]
    runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
