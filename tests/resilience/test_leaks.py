"""Nothing leaks, and what is planted is found, printed and mended."""

import asyncio
import json
import os
import subprocess
import uuid

import httpx
import pytest

from infra.contracts.network import PortRequest
from infra.contracts.requests import BootRequest
from infra.host.services.neutron import MARK
from tests import commands
from tests.ids import stable_id
from tests.resilience.host import Extra
from tests.resilience.planted import asked, attach, fresh_audit, guest, port, ports, record, things, volume
from tests.workflows.cloud import Cloud
from tests.workflows.servers import instance_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def command(cloud: Cloud, *flags: str) -> subprocess.CompletedProcess[str]:
    """`kilonova leaks` in a process of its own; the audit itself runs on this process's control worker."""
    s = cloud.settings
    ours = {"KILONOVA_STATE_DIR": str(s.state_dir), "KILONOVA_PORT_OFFSET": str(s.port_offset)}
    return await asyncio.to_thread(lambda: commands.leaks(*flags, env={**os.environ, **ours}, timeout=150))


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


async def test_a_planted_leak_of_each_kind_is_found_printed_and_mended(cloud: Cloud, extra: Extra) -> None:
    """Mechanism: each rule of activities.auditing and its step in RepairInstance. (Rules about plugged ports:
    tests/auditing, tests/host/test_mending.py.)"""
    extra.report(memory_mb=1)  # builds go elsewhere
    stuck = await cloud.boot(hold="plug_ports")
    await cloud.faults.held.wait()
    await stuck.terminate("lost")
    cloud.faults.release.set()
    await asyncio.sleep(1)
    cloud.faults.arm()
    async with extra.working():
        stray = record(cloud)
        await guest(cloud, extra, stray)
        expected = {**await asyncio.to_thread(things, cloud), "domain": stray, "stuck": instance_of(stuck)}
        shown = await command(cloud)
        report = json.loads((await command(cloud, "--json")).stdout)
        found = {(f["kind"], f["instance_id"]) for f in report["findings"]}
        for kind, instance_id in expected.items():
            assert (kind, instance_id) in found
            assert kind in shown.stdout and instance_id in shown.stdout
        assert all(f["proof"] for f in report["findings"]), "each says what it established"
        assert shown.returncode == 1
        mended = await command(cloud, "--repair")
        assert mended.returncode == 0, mended.stdout
        await cloud.end(stuck)
        again = await command(cloud)
        assert again.returncode == 0 and again.stdout.startswith("0 leaks"), again.stdout
        assert extra.guests() == set()
    kept = cloud.record(stuck)
    assert kept and (kept.vm_state, kept.task_state) == ("error", None)
    assert kept.fault and "ended from outside" in kept.fault["message"]
    (unbound,) = (each for each in ports(cloud) if each["binding:profile"] == {"trunk": 1})
    assert unbound["device_id"] == "", "a tenant's port is unbound, never deleted"
    await cloud.delete(stuck)
    await cloud.end(stuck)


@pytest.mark.parametrize("action", ["attach_volume", "swap_volume"])
async def test_a_volume_that_came_later_and_stayed_attached_is_found_and_given_back(cloud: Cloud, action: str) -> None:
    """Mechanism: AuditedRecords.asked_for. An outage that outlasted the delete's patience left a tenant's own volume
    in use, of a server that was gone, and no audit ever said so: its attachment's id follows from a request."""
    gone = record(cloud)
    request_id = asked(cloud, gone, action)
    left = await asyncio.to_thread(attach, cloud, gone, None, request_id)
    other = await asyncio.to_thread(attach, cloud, record(cloud), None, request_id)
    report = await cloud.audit.audit(repair=True)
    assert [(f.kind, f.instance_id, f.what, f.repaired) for f in report.findings] == [("attachment", gone, left, True)]
    held = dict(cloud.audit._looker._services.attachments())
    assert left not in held and other in held, "of the other server no record says that anybody asked for it"
    url = cloud.settings.url("volume", f"/v3/attachments/{other}")
    httpx.delete(url, headers={"X-Auth-Token": cloud.token, "OpenStack-API-Version": "volume 3.44"})


async def test_what_is_not_ours_is_left_alone(cloud: Cloud) -> None:
    """Mechanism: activities.auditing.marks. A Nova beside us, and tenants, have ports, volumes and attachments too."""
    foreign, ours = str(uuid.uuid4()), record(cloud)

    def plant() -> tuple[set[str], set[str], set[str]]:
        kept = {port(cloud, foreign), port(cloud, ours), port(cloud, ours, **{"binding:profile": {MARK: foreign}})}
        held = {attach(cloud, foreign), attach(cloud, ours)}
        return kept, held, {volume(cloud, ours), volume(cloud, foreign)}

    kept, held, written = await asyncio.to_thread(plant)
    report = await cloud.audit.audit(repair=True)
    assert report.counts == {}, report.findings
    assert kept <= {each["id"] for each in ports(cloud)}
    listed = dict(cloud.audit._looker._services.attachments())
    assert held <= listed.keys()
    url = cloud.settings.url("volume", "/v3/volumes")
    headers = {"X-Auth-Token": cloud.token, "OpenStack-API-Version": "volume 3.44"}
    there = {each["id"] for each in httpx.get(url, headers=headers).json()["volumes"]}
    assert written <= there
    for id in held:
        httpx.delete(cloud.settings.url("volume", f"/v3/attachments/{id}"), headers=headers)
    for id in kept:
        httpx.delete(cloud.settings.url("network", f"/v2.0/ports/{id}"), headers=headers)
    for id in written:
        httpx.delete(f"{url}/{id}", headers=headers)


async def test_what_no_record_knows_is_named_and_left_running(cloud: Cloud, extra: Extra) -> None:
    """Mechanism: `unknown`. After a restored backup that is every guest that is younger than the backup."""
    stray = str(uuid.uuid4())
    async with extra.working():
        await guest(cloud, extra, stray)
        report = await cloud.audit.audit(repair=True)
        assert {(f.kind, f.instance_id, f.repaired) for f in report.findings} == {("unknown", stray, False)}
        assert extra.guests() == {stray}
        done = await command(cloud, "--repair")
        assert done.returncode == 1 and "unknown" in done.stdout
        extra.host.driver.clean_up(stray)


async def test_a_cloud_without_a_volume_service_is_audited_too(cloud: Cloud) -> None:
    """A real OpenStack may have none; its ports and hosts are compared all the same."""
    url, asked = cloud.settings.identity_url, {"X-Auth-Token": cloud.token}
    listed = httpx.get(f"{url}/services", headers=asked).json()["services"]
    volumes = [service["id"] for service in listed if service["type"] in ("block-storage", "volumev3")]
    assert len(volumes) == 2
    gone = record(cloud)
    port(cloud, gone, id=stable_id(gone, "port/0"))

    def switch(enabled: bool) -> None:
        for service in volumes:
            changed = httpx.patch(f"{url}/services/{service}", json={"service": {"enabled": enabled}}, headers=asked)
            assert changed.status_code == 200, changed.text

    switch(False)
    try:
        report = await fresh_audit(cloud).audit(repair=True)
    finally:
        switch(True)
    assert [(f.kind, f.instance_id, f.repaired) for f in report.findings] == [("port", gone, True)]
    assert report.unreachable == []
    assert await cloud.leaks() == []


async def test_lost_and_doubled_guests_are_found_and_only_what_is_safe_is_mended(cloud: Cloud, extra: Extra) -> None:
    """Mechanism: `lost` and `doubled` of the audit. A second guest goes: it has no claim. A lost one stays."""
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
        await cloud.audit.audit(repair=True)
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
