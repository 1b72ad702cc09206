"""What `kilonova leaks` counts once a storm is over."""

import json
import subprocess
import time
from typing import Any

from tests.chaos.cloud import KILONOVA

TAP = "tap"
"""Guests that pretend have none."""


def leaks(env: dict[str, str], *, apart: bool) -> tuple[list[str], int]:
    """Each leak as a line, hosts that did not answer included; how many of them are doubled guests."""
    for _ in range(3):
        done = subprocess.run([KILONOVA, "leaks", "--json"], env=env, capture_output=True, text=True, timeout=300)
        if done.stdout.strip():
            break
        time.sleep(5)
    report: dict[str, Any] = json.loads(done.stdout)
    counts = {kind: number for kind, number in report["counts"].items() if kind != TAP or not apart}
    lines = [_line(finding) for finding in report["findings"] if finding["kind"] in counts]
    lines += [f"one more of {counts}, which the report leaves out"] * (sum(counts.values()) - len(lines))
    return [*lines, *(f"{host} did not answer" for host in report["unreachable"])], counts.get("doubled", 0)


def _line(finding: dict[str, Any]) -> str:
    return " ".join(str(value) for name, value in finding.items() if value and name != "repaired")
