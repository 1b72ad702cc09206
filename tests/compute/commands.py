"""One command of the unmodified `openstack` client, as the fixture `openstack_client` serves it."""

import json
import os
import subprocess
from typing import Any


def ran(program: str, who: dict[str, str], line: str, *, text: bool = False) -> Any:
    """The command's JSON, or with `text` what it prints; it has to succeed."""
    argv = [program, *line.split(), *(() if text else ("-f", "json"))]
    done = subprocess.run(argv, env=os.environ | who, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"openstack {line}: {done.stderr}"
    return done.stdout if text else json.loads(done.stdout)
