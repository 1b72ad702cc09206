"""Temporal's own development server, as tests start it."""

import os
import subprocess
import sys
from pathlib import Path

from infra.settings import Settings
from workers.processes import SEARCH_ATTRIBUTES, TEMPORAL_TUNING

BINARY = Path(sys.executable).with_name("temporal")
FORGET_AT_ONCE = "history.transferProcessorEnsureCloseBeforeDelete=false"
"""A history that a test deletes is gone in 0.1 s, not in 33: the server does not wait for what it lists to follow."""
COLLECT_SELDOM = {"GOGC": "400"}
"""Its heap is small, and grows to five times what is in use before it is collected."""
UNLISTED = ("history.visibilityProcessorMaxPollRPS=1", "history.visibilityTaskBatchSize=1")
"""One workflow a second gets into what can be listed: to write all of them there is a seventh of the server's CPU."""
PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL")


def start_temporal(settings: Settings, file: Path | None = None, *, listed: bool = True) -> subprocess.Popen[bytes]:
    """`file`: what it keeps, so that it can be killed and started again; without one all is in its memory.
    `listed`: whether workflows are found by what they are listed with."""
    argv = [str(BINARY), "server", "start-dev", "--headless", "--log-level", "never"]
    argv += ["--ip", settings.listen, "--port", str(settings.port("temporal"))]
    if file:
        argv += ["--db-filename", str(file), *(word for each in PRAGMAS for word in ("--sqlite-pragma", each))]
    for value in (*TEMPORAL_TUNING, FORGET_AT_ONCE, *(() if listed else UNLISTED)):
        argv += ["--dynamic-config-value", value]
    for name in SEARCH_ATTRIBUTES:
        argv += ["--search-attribute", f"{name}=Keyword"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(argv, env={**os.environ, **COLLECT_SELDOM}, stdout=quiet, stderr=quiet)
