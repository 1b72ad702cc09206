"""`python -m tests.horizon`: Horizon's pages in Chromium, on a cloud of its own with real guests.

With KILONOVA_STATE_DIR set: on the cloud of that directory, which runs with Horizon and goes on. Needs root, and
Debian's package chromium."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.clients.__main__ import leaks, shown, steps
from tests.e2e.cloud import Cloud
from tests.horizon.tour import Tour
from tests.ports import free_offset
from tests.screenshots.browser import Browser


def tour(cloud: Cloud) -> int:
    with Browser() as browser:
        results = [shown("Horizon", *step) for step in steps(Tour(cloud, browser))]
    results.append(shown("Horizon", "leaves no leak", lambda: leaks(cloud)))
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 0 if all(results) else 1


def main() -> int:
    """Exit status 0 when all of it succeeded and left nothing."""
    if "KILONOVA_STATE_DIR" in os.environ:
        return tour(Cloud(Path(os.environ["KILONOVA_STATE_DIR"]), int(os.environ.get("KILONOVA_PORT_OFFSET", "0"))))
    state_dir = Path(tempfile.mkdtemp(prefix="kilonova-horizon-"))
    cloud = Cloud(state_dir, free_offset())
    try:
        up = cloud.kilonova("up", "--with", "horizon", "--demo-objects", "--timeout", "200", seconds=900)
        print(up.stdout + up.stderr)
        return up.returncode or tour(cloud)
    finally:
        cloud.kilonova("down")
        shutil.rmtree(state_dir, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
