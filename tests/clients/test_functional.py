"""The quick ones of the functional tests that the clients bring; all of them: `python -m tests.clients osc sdk`."""

import asyncio
from pathlib import Path

import pytest

from tests.clients import functional, results
from tests.clients.tools import environment
from tests.workflows.cloud import Cloud

pytestmark = [pytest.mark.asyncio(loop_scope="session")]
QUICK = {
    "sdk": (
        "compute/v2/test_keypair.py",
        "compute/v2/test_image.py",
        "block_storage/v3/test_type.py",
        "network/v2/test_subnet.py",
        "network/v2/test_qos_rule_type.py",
    ),
    "osc": ("compute/v2/test_server_group.py", "common/test_extension.py", "network/v2/test_network_qos_policy.py"),
}


async def test_what_the_clients_test_themselves(cloud: Cloud, tmp_path: Path) -> None:
    try:
        await asyncio.to_thread(environment, "functional")
    except RuntimeError as error:
        pytest.skip(f"the clients' own tests cannot be installed: {error}")
    cloud.faults.arm()
    await asyncio.to_thread(functional.prepare, cloud.settings, tmp_path)
    for suite, files in QUICK.items():
        found = await asyncio.to_thread(functional.run, suite, tmp_path, tmp_path / f"{suite}.jsonl", files, 200)
        assert len(found.outcomes) >= len(files)
        results.judged(suite, found, whole=False)
    assert await cloud.leaks() == []
