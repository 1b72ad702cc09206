"""What a process of a cloud holds in memory without need, found by what it has imported."""

import json
import subprocess
import sys

import pytest

from infra import lean

TOOLS = {"grpc", "osprofiler", "oslo_config", "webob", "rich", "pygments", "numpy"}
TEMPORAL = {"temporalio", "google.protobuf"}
DATABASE = {"sqlalchemy", "alembic"}


@pytest.mark.parametrize(
    ("process", "modules", "never"),
    [
        ("console", "workers.console", TOOLS | TEMPORAL | DATABASE | {"fastapi", "cryptography"}),
        ("worker_compute", "workers.compute", TOOLS | DATABASE | {"fastapi"}),
        ("worker_control", "workers.control", TOOLS | {"fastapi", "alembic"}),
        ("api", "workers.servers api.network.app api.volume.app", (TOOLS | TEMPORAL) - {"oslo_config"}),
    ],
)
def test_a_process_is_lean(process: str, modules: str, never: set[str]) -> None:
    """As the command does it: first what is left out, then the imports."""
    left_out = (*lean.OPTIONAL, "numpy") if process == "console" else lean.OPTIONAL
    lines = ["import json, sys", "from workers.cli import main, foreground", f"foreground.lean.leave_out(*{left_out})"]
    lines += [f"import {name}" for name in modules.split()]
    lines += ["print(json.dumps([name for name, module in sys.modules.items() if module]))"]
    ran = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert not never & set(json.loads(ran.stdout))
