"""Nothing leaks, and what is planted is found, printed and mended."""

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from infra.audit import Auditor
from infra.contracts.network import PortRequest
from infra.contracts.requests import BootRequest
from infra.contracts.volume import GOES_WITH_IT, MADE_FOR
from infra.openstack import service_session
from infra.tables.compute import Allocation, ConsoleToken, now
from tests.resilience.host import NAME, Extra
from tests.resilience.processes import ROOT
from tests.workflows.cloud import Cloud
from tests.workflows.servers import instance_of
from workers.sign_in import as_service

pytestmark = pytest.mark.asyncio(loop_scope="session")
KILONOVA = Path(sys.executable).with_name("kilonova")


async def command(cloud: Cloud, *flags: str) -> subprocess.CompletedProcess[str]:
    """`kilonova leaks` as a process; the audit itself runs on this process's control worker."""
    s = cloud.settings
    ours = {"KILONOVA_STATE_DIR": str(s.state_dir), "KILONOVA_PORT_OFFSET": str(s.port_offset), "COLUMNS": "200"}
    argv = [str(KILONOVA), "leaks", *flags]
    return await asyncio.to_thread(
        lambda: subprocess.run(argv, env={**os.environ, **ours}, cwd=ROOT, capture_output=True, text=True, timeout=60)
    )


async def test_nothing_is_left_of_good_failed_and_deleted_builds(cloud: Cloud) -> None:
    """Mechanism: the undos of the saga and DeleteInstance's steps; without any one of them the audit finds its kind."""
    before = await cloud.world()
    good = await cloud.boot()
    assert await cloud.end(good) is None
    failed = await cloud.boot(fail_after="spawn")
    assert await cloud.end(failed) is not None
    done = await command(cloud)
    assert done.returncode == 0 and done.stdout.startswith("0 leaks"), done.stdout
    cloud.faults.arm()
    for boot in (good, failed):
        await cloud.delete(boot)
        assert await cloud.end(boot) is None
    assert await cloud.world() == before
    assert (await command(cloud)).returncode == 0


def claim(cloud: Cloud, instance_id: str, host: str) -> Allocation:
    row = Allocation(
        consumer_id=instance_id, instance_id=instance_id, host=host, attempt=1, vcpus=1, memory_mb=1, disk_gb=0
    )
    with cloud.database.write() as session:
        session.add(row)
    return row


async def guest(cloud: Cloud, extra: Extra, request: BootRequest) -> None:
    """A guest on the extra host that nothing accounts for, and its directory."""
    claim(cloud, request.instance_id, NAME)
    await asyncio.to_thread(extra.host.driver.spawn, extra.spec(request), lambda *_: None)
    cloud.scheduler.release(request.instance_id)


def things(cloud: Cloud) -> dict[str, str]:
    """What hangs on servers that do not exist; kind → server's id."""
    ids = {kind: str(uuid.uuid4()) for kind in ("allocation", "disk", "port", "attachment", "volume", "console_token")}
    claim(cloud, ids["allocation"], "node1")
    cloud.hosts["node1"].driver._paths.make_instance(ids["disk"])
    owned = {"network_id": cloud.network, "device_id": ids["port"], "device_owner": "compute:nova"}
    cloud.post("network", "/v2.0/ports", {"port": owned})
    volume = cloud.post("volume", "/v3/volumes", {"volume": {"size": 1, "name": "planted"}})["volume"]
    marks = {MADE_FOR: ids["volume"], GOES_WITH_IT: "True"}
    cloud.post("volume", "/v3/volumes", {"volume": {"size": 1, "name": "orphan", "metadata": marks}})
    attachment = {"instance_uuid": ids["attachment"], "volume_uuid": volume["id"]}
    asked = {"OpenStack-API-Version": "volume 3.44", "X-Auth-Token": cloud.token}
    url = cloud.settings.url("volume", "/v3/attachments")
    for _ in range(50):  # the volume is not available at once
        answer = httpx.post(url, json={"attachment": attachment}, headers=asked)
        if answer.status_code == 200:
            break
        time.sleep(0.1)
    assert answer.status_code == 200, answer.text
    token = ConsoleToken(
        token_hash=uuid.uuid4().hex,
        instance_id=ids["console_token"],
        target="127.0.0.1:1",
        expires_at=now() + timedelta(hours=1),
    )
    with cloud.database.write() as session:
        session.add(token)
    return ids


async def test_a_planted_leak_of_each_kind_is_found_printed_and_mended(cloud: Cloud, extra: Extra) -> None:
    """Mechanism: each comparison of infra.audit and its repair. (`host_port` needs a host that plugs taps itself.)"""
    extra.report(memory_mb=1)  # builds go elsewhere
    stuck = await cloud.boot(hold="plug_ports")
    await cloud.faults.held.wait()
    await stuck.terminate("lost")
    cloud.faults.release.set()
    await asyncio.sleep(1)
    cloud.faults.arm()
    async with extra.working():
        stray = cloud.request()
        await guest(cloud, extra, stray)
        expected = {**await asyncio.to_thread(things, cloud), "domain": stray.instance_id, "stuck": instance_of(stuck)}
        shown = await command(cloud)
        report = json.loads((await command(cloud, "--json")).stdout)
        found = {(f["kind"], f["instance_id"]) for f in report["findings"]}
        for kind, instance_id in expected.items():
            assert (kind, instance_id) in found
            assert kind in shown.stdout and instance_id in shown.stdout
        assert shown.returncode == 1
        mended = await command(cloud, "--repair")
        assert mended.returncode == 0, mended.stdout
        await cloud.end(stuck)
        again = await command(cloud)
        assert again.returncode == 0 and again.stdout.startswith("0 leaks"), again.stdout
        assert extra.guests() == set()
    record = cloud.record(stuck)
    assert record and (record.vm_state, record.task_state) == ("error", None)
    assert record.fault and "ended from outside" in record.fault["message"]
    assert set(expected) | {"lost", "doubled", "host_port"} == set(Auditor.KINDS)
    await cloud.delete(stuck)
    await cloud.end(stuck)


async def test_a_cloud_without_a_volume_service_is_audited_too(cloud: Cloud) -> None:
    """A real OpenStack may have none; its ports and hosts are compared all the same."""
    url, asked = cloud.settings.identity_url, {"X-Auth-Token": cloud.token}
    listed = httpx.get(f"{url}/services", headers=asked).json()["services"]
    volumes = [service["id"] for service in listed if service["type"] in ("block-storage", "volumev3")]
    assert len(volumes) == 2
    owned = {"network_id": cloud.network, "device_id": str(uuid.uuid4()), "device_owner": "compute:nova"}
    cloud.post("network", "/v2.0/ports", {"port": owned})

    def switch(enabled: bool) -> None:
        for service in volumes:
            changed = httpx.patch(f"{url}/services/{service}", json={"service": {"enabled": enabled}}, headers=asked)
            assert changed.status_code == 200, changed.text

    switch(False)
    try:
        fresh = service_session(as_service(cloud.settings, "nova"))
        auditor = Auditor(cloud.client, cloud.database, fresh, cloud.settings.region, cloud.scheduler.up_hosts)
        report = await auditor.audit(repair=True, heartbeat=lambda *_: None)
    finally:
        switch(True)
    assert [(f.kind, f.instance_id, f.repaired) for f in report.findings] == [("port", owned["device_id"], True)]
    assert await cloud.leaks() == []


async def test_lost_and_doubled_guests_are_found_and_only_what_is_safe_is_mended(cloud: Cloud, extra: Extra) -> None:
    """Mechanism: `lost` and `doubled` of infra.audit. A second guest has no claim and goes; a lost one stays shown."""
    extra.report(memory_mb=1)
    request = cloud.request(ports=[PortRequest(port_id=str(uuid.uuid4()), network_id=cloud.network)])
    boot = await cloud.boot(request)
    assert await cloud.end(boot) is None
    record = cloud.record(boot)
    assert record and record.host in cloud.hosts
    async with extra.working():
        await second_guest(cloud, extra, request)
        kinds = {f.kind for f in await cloud.leaks()}
        assert {"doubled", "domain"} <= kinds
        await cloud.auditor.audit(repair=True, heartbeat=lambda *_: None)
        assert extra.guests() == set() and await cloud.leaks() == []
        await asyncio.to_thread(cloud.hosts[record.host].driver.destroy, record.id)
        done = await command(cloud, "--repair")
        assert done.returncode == 1 and "lost" in done.stdout
        assert [f.kind for f in await cloud.leaks()] == ["lost"]
    await cloud.delete(boot)
    assert await cloud.end(boot) is None
    extra.forget()
    assert await cloud.leaks() == []


async def second_guest(cloud: Cloud, extra: Extra, request: BootRequest) -> None:
    """The same server's guest on the extra host too, as no claim allows."""
    driver = extra.host.driver
    holds, driver._fence.holds = driver._fence.holds, lambda *_: True  # type: ignore[method-assign]
    try:
        await asyncio.to_thread(driver.spawn, extra.spec(request), lambda *_: None)
    finally:
        driver._fence.holds = holds  # type: ignore[method-assign]
