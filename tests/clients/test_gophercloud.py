"""gophercloud, unmodified: the library below Terraform's provider and below Kubernetes' cloud provider."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.signed_in import environment
from tests.workflows.cloud import Cloud
from tests.workflows.tenant import Tenant

SOURCE = Path(__file__).parent / "gophercloud"
pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(
        not shutil.which("go"), reason="the client is a Go program, and there is no Go here to build it"
    ),
]


async def test_a_tenants_whole_way(cloud: Cloud, tmp_path: Path) -> None:
    program = tmp_path / "gopher"
    built = await asyncio.to_thread(
        subprocess.run, ["go", "build", "-o", str(program), "."], cwd=SOURCE, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    cloud.faults.arm()
    admin = Tenant(cloud.settings)
    parts = {"IMAGE": admin.image(), "FLAVOR": admin.flavor()}
    env = {**os.environ, **parts, **environment(cloud.settings, "demo"), "OS_DOMAIN_ID": "default"}
    ran = await asyncio.to_thread(subprocess.run, [str(program)], env=env, capture_output=True, text=True, timeout=150)
    assert ran.returncode == 0 and ran.stdout.endswith("done\n"), ran.stdout + ran.stderr
    assert await cloud.leaks() == []
