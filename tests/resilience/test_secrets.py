"""Secrets stay out of Temporal's histories, of logs and of the records."""

import base64
import contextlib
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToJson
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from tests.resilience.processes import Processes
from tests.workflows.cloud import Cloud

pytestmark = pytest.mark.asyncio(loop_scope="session")
PASSWORD, DATA, KEY = "s3cret-admin-pass-4711", "user-data-with-a-secret-4711", "ssh-ed25519 AAAAC3Nsecretkey4711 me"


def found_in(raw: bytes, secrets: list[str]) -> list[str]:
    """Those that are there in clear or in base64, at any offset of its groups of three bytes."""
    found = []
    for secret in secrets:
        plain = secret.encode()
        forms = [plain] + [base64.b64encode(plain[skip:])[: (len(plain) - skip) // 3 * 4] for skip in range(3)]
        if any(form in raw for form in forms):
            found.append(secret)
    return found


async def test_the_search_finds_what_is_there() -> None:
    for before in ("", "x", "xy"):
        raw = base64.b64encode(f"{before}{PASSWORD} and more".encode())
        assert found_in(raw, [PASSWORD]) == [PASSWORD]


async def test_histories_and_records_hold_no_secret_in_clear(cloud: Cloud) -> None:
    """Mechanisms: the encrypting codec of infra.temporal.data_converter; `sealed_request` of the record; and the token
    is not kept there at all."""
    data = base64.b64encode(DATA.encode()).decode()
    request = cloud.request(admin_pass=PASSWORD, user_data=data, key_name="k", public_key=KEY)
    secrets = [PASSWORD, DATA, KEY, cloud.token]
    for faults in ({}, {"fail_after": "spawn"}):
        wanted = request if not faults else cloud.request(**request.model_dump(exclude={"instance_id"}))
        boot = await cloud.boot(wanted, **faults)
        error = await cloud.end(boot)
        assert (error is None) == (not faults)
        bare = await Client.connect(
            cloud.settings.temporal,
            namespace=cloud.settings.temporal_namespace,
            data_converter=pydantic_data_converter,
        )
        handle = bare.get_workflow_handle(boot.id)
        raw = b"".join([e.SerializeToString() async for e in handle.fetch_history_events()])
        described = MessageToJson((await handle.describe()).raw_description).encode()
        assert len(raw) > 5000 and found_in(raw, secrets) == []
        assert found_in(described, secrets) == []
        with pytest.raises(Exception, match=r".") as refused:  # a client without the key can read nothing of it
            await handle.query("steps", result_type=list)
        assert found_in(str(refused.value).encode(), secrets) == []
        stores = b"".join(read(f) for f in files(cloud.settings.state_dir) if ".db" in f.name or "sqlite" in f.name)
        assert request.instance_id.encode() in stores or wanted.instance_id.encode() in stores
        assert found_in(stores, [PASSWORD, DATA, data]) == []
        assert found_in(stores, [cloud.token]) == []
        cloud.faults.arm()
        await cloud.delete(boot)
        await cloud.end(boot)


async def test_logs_of_all_processes_hold_no_secret(real: Processes) -> None:
    """Mechanism: what infra.logs and the steps write; a build that fails and one that is good, through the real API."""
    data = base64.b64encode(DATA.encode()).decode()
    body = real.server("secretive")
    body["server"] |= {"adminPass": PASSWORD, "user_data": data}
    good = await real.ask("POST", "/servers", json=body)
    assert good.status_code == 202, good.text
    await real.settled(good.json()["server"]["id"])
    body["server"] |= {"adminPass": [PASSWORD]}  # refused
    assert (await real.ask("POST", "/servers", json=body)).status_code == 400
    secrets = [PASSWORD, DATA, data, real.tenants.tenants[0].token, real.tenants.admin.token]
    logs = files(real.state_dir / "log")
    assert len(logs) > 5
    for log in logs:
        assert found_in(log.read_bytes(), secrets) == [], log.name
    await real.delete(good.json()["server"]["id"])


def files(place: Path) -> list[Path]:
    return [file for file in sorted(place.rglob("*")) if file.is_file()]


def read(file: Path) -> bytes:
    """SQLite removes its journals while they are looked for."""
    with contextlib.suppress(FileNotFoundError):
        return file.read_bytes()
    return b""
