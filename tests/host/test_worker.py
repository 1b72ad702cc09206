"""The compute worker as a process: what it imports, what it takes at once, how it starts, reports and ends."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select
from temporalio import activity
from temporalio.client import ActivityFailureError, Client
from temporalio.testing import WorkflowEnvironment

from activities.image import Image
from infra.contracts.hypervisor import DomainSpec, HostFacts, HostRef, Spawned
from infra.contracts.image import DiskOnHost, ImageOnHost
from infra.host.driver import Driver
from infra.host.files.images import ImageStore
from infra.host.services.fence import Fence
from infra.settings import Settings
from infra.tables.compute import ComputeNode, Instance
from infra.temporal import compute_queue, connect
from tests.host.cloud import Cloud, new_id, until
from tests.host.glance import Glance, StoredImage
from tests.host.specs import spec
from workers import host_loops
from workers.compute import compute_worker
from workers.guests import LIST
from workers.host_loops import bring_back
from workers.sign_in import as_host

ROOT = Path(__file__).parents[2]
NO_DATABASE = """
import sys, workers.compute, infra.hostnet.network
bad = ("sqlalchemy", "sqlmodel", "alembic", "psycopg", "sqlite3", "infra.database", "infra.tables", "infra.stores")
print([name for name in sys.modules if name.startswith(bad)])
"""


def test_a_compute_host_cannot_import_the_database() -> None:
    done = subprocess.run([sys.executable, "-c", NO_DATABASE], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.fixture
async def temporal(cloud: Cloud) -> AsyncIterator[Settings]:
    """Settings with the address of a Temporal of one's own, for a host of one's own."""
    server = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(Path(sys.executable).with_name("temporal")), dev_server_log_level="error"
    )
    async with server:
        address = server.client.service_client.config.target_host
        own = {"temporal_address": address, "host": "other", "service_username": ""}
        yield as_host(cloud.settings.model_copy(update=own))


async def run(client: Client, host: str, step: str, arg: Any, result: type | None = None) -> Any:
    return await client.execute_activity(
        step,
        arg,
        id=f"{step}-{uuid.uuid4()}",
        task_queue=compute_queue(host),
        result_type=result,
        schedule_to_close_timeout=timedelta(seconds=60),
        heartbeat_timeout=timedelta(seconds=10),
    )


class Counted:
    """Steps that only count how many of them run at once."""

    def __init__(self) -> None:
        self.lock, self.now, self.most = threading.Lock(), {"spawn": 0, "small": 0}, {"spawn": 0, "small": 0}

    def _count(self, name: str) -> None:
        with self.lock:
            self.now[name] += 1
            self.most[name] = max(self.most[name], self.now[name])
        time.sleep(0.15)
        with self.lock:
            self.now[name] -= 1

    @activity.defn(name="spawn")
    def spawn(self, _: HostRef) -> None:
        self._count("spawn")

    @activity.defn(name="plug_ports")  # one that declares itself as not heavy
    def small(self, _: HostRef) -> None:
        self._count("small")


async def test_few_spawns_at_once_and_more_small_steps(temporal: Settings) -> None:
    settings = temporal.model_copy(update={"max_concurrent_builds": 2})
    client, steps = await connect(settings), Counted()
    ref = HostRef(host=settings.host)
    with ThreadPoolExecutor(8) as pool:
        async with compute_worker(client, settings, [steps.spawn, steps.small], pool):
            await asyncio.gather(*(run(client, settings.host, "spawn", ref) for _ in range(8)))
            await asyncio.gather(*(run(client, settings.host, "plug_ports", ref) for _ in range(12)))
            both = [run(client, settings.host, name, ref) for name in ("spawn", "plug_ports") * 6]
            await asyncio.gather(*both)
    assert steps.most["spawn"] == 2
    assert 2 < steps.most["small"] <= 6


async def test_a_cancel_stops_a_download_and_keeps_what_arrived(
    cloud: Cloud, temporal: Settings, glance: Glance
) -> None:
    settings = temporal.model_copy(update={"virt_type": "qemu", "libvirt_uri": "qemu:///system"})
    glance.images[image_id := new_id()] = StoredImage(os.urandom(8 << 20), "raw")
    glance.chunk_pause = 0.05
    client, store = await connect(settings), Image(ImageStore(settings, cloud.session), Fence(settings.host, None))
    part = settings.host_dir / "images" / f"{image_id}.part"
    want = ImageOnHost(instance_id=new_id(), image_id=image_id, disk_gb=0)
    with ThreadPoolExecutor(4) as pool:
        async with compute_worker(client, settings, [store.fetch_to_host], pool):
            handle = await client.start_activity(
                "fetch_to_host",
                want,
                id=f"fetch-{want.instance_id}",
                task_queue=compute_queue(settings.host),
                schedule_to_close_timeout=timedelta(seconds=60),
                heartbeat_timeout=timedelta(seconds=10),
            )
            await asyncio.to_thread(until, lambda: part.exists() and part.stat().st_size > 1 << 20)
            await handle.cancel()
            with pytest.raises(ActivityFailureError):
                await handle.result()
            assert part.stat().st_size < 8 << 20
            glance.chunk_pause = 0
            disk: DiskOnHost = await run(client, settings.host, "fetch_to_host", want, DiskOnHost)
    assert 0 < disk.downloaded_bytes < 8 << 20


class Process:
    """A compute worker of its own, on libvirt's test driver."""

    def __init__(self, settings: Settings) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "KILONOVA_"))}
        env = kept | {
            "KILONOVA_STATE_DIR": str(settings.state_dir),
            "KILONOVA_PORT_OFFSET": str(settings.port_offset),
            "KILONOVA_TEMPORAL_ADDRESS": settings.temporal_address,
            "KILONOVA_HOST": settings.host,
            "KILONOVA_LIBVIRT_URI": "test:///default",
            "KILONOVA_VIRT_TYPE": "test",
            "KILONOVA_HOST_NETWORKING": "none",
            "KILONOVA_HEARTBEAT_S": "0.5",
        }
        code = "import asyncio; from infra.settings import Settings; from workers.compute import run_compute;"
        self.log = settings.log_dir / f"{settings.host}.log"
        with self.log.open("ab") as log:
            argv = [sys.executable, "-c", f"{code} asyncio.run(run_compute(Settings()))"]
            self.popen = subprocess.Popen(argv, env=env, cwd=ROOT, stderr=log)

    def logged(self, event: str) -> bool:
        assert self.popen.poll() is None, self.log.read_text()[-3000:]
        return any(json.loads(line)["event"] == event for line in self.log.read_text().splitlines() if line[:1] == "{")


async def test_a_worker_starts_works_and_ends(cloud: Cloud, temporal: Settings) -> None:
    host, instance_id = temporal.host, cloud.claim(new_id(), host=temporal.host)
    leftover = temporal.host_dir / "instances" / cloud.claim(new_id(), host="elsewhere")
    leftover.mkdir(parents=True)
    worker = Process(temporal)
    try:
        await asyncio.to_thread(until, lambda: worker.logged("ready"))
        assert not leftover.exists(), "it took work before it had undone what another host has"
        client = await connect(temporal)
        image = ImageOnHost(instance_id=instance_id, image_id=new_id(), disk_gb=0)
        disk: DiskOnHost = await run(client, host, "fetch_to_host", image, DiskOnHost)
        done: Spawned = await run(client, host, "spawn", spec(instance_id, disk=disk), Spawned)
        assert (done.host, done.attempt, done.power_state) == (host, 1, 1)
        assert done.started_at and done.finished_at and done.started_at <= done.finished_at
        facts: HostFacts = await run(client, host, "host_facts", HostRef(host=host), HostFacts)
        assert facts.domains == {instance_id: 1} and instance_id in facts.instance_dirs

        def node() -> ComputeNode | None:
            with cloud.compute.read() as session:
                return session.exec(select(ComputeNode).where(ComputeNode.host == host)).first()

        def reported() -> bool:
            known = node()
            return known is not None and known.facts.get("running") == [instance_id]

        await asyncio.to_thread(until, reported)
        assert temporal.host_report.exists(), "`up` waits for it"
        await run(client, host, "clean_up", spec(instance_id))
        facts = await run(client, host, "host_facts", HostRef(host=host), HostFacts)
        assert facts.domains == {} and instance_id not in facts.instance_dirs
    finally:
        worker.popen.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.popen.wait, 15) == 0
    password = cloud.settings.service_password.get_secret_value()
    assert password not in worker.log.read_text()


def test_guests_taken_down_with_their_host_come_back(cloud: Cloud, host: Settings) -> None:
    driver = Driver(host, cloud.control)
    wanted, forgotten = spec(cloud.claim(new_id())), new_id()
    driver.spawn(wanted, lambda *_: None)
    driver._domains._libvirt.call(lambda c: c.lookupByUUIDString(wanted.instance_id).destroy())
    assert driver.domains() == {wanted.instance_id: 4}
    (host.host_dir / LIST).write_text(json.dumps([wanted.instance_id, forgotten]))
    bring_back(host, driver, cloud.control, threading.Event())
    assert driver.domains() == {wanted.instance_id: 1} and not (host.host_dir / LIST).exists()
    driver.destroy(wanted.instance_id)


def test_a_guest_that_is_started_again_is_not_told_to_be_off_meanwhile(
    cloud: Cloud, host: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mechanism: Events.awaits. The first start fails, as where a volume's server comes up later than the host. One
    that a tenant stops in between stays off, and one that never comes back is told in the end."""
    monkeypatch.setattr(host_loops, "RESTART_TRIES", 2)
    driver = Driver(host, cloud.control)
    comes, stopped, never = (spec(cloud.claim(new_id())).instance_id for _ in range(3))
    for id in (comes, stopped, never):
        with cloud.compute.write() as session:
            session.add(Instance(id=id, project_id="p", user_id="u", name="vm", vm_state="active"))
        driver.spawn(spec(id), lambda *_: None)
        driver._domains.stop(id)
    driver.events._muted.clear()

    def told() -> dict[str, int]:
        return {e.instance_id: e.power_state for e in driver.events._seen_again(driver.events._pending.values())}

    class Between(threading.Event):
        seen: list[dict[str, int]] = []

        def wait(self, timeout: float | None = None) -> bool:
            self.seen.append(told())
            with cloud.compute.write() as session:
                session.get_one(Instance, stopped).vm_state = "stopped"
            return False

    start, pause = driver.start, Between()

    def not_yet(instance_id: str, told: DomainSpec | None = None) -> None:
        if not pause.seen or instance_id == never:
            raise LookupError("its volume's server does not answer yet")
        start(instance_id, told)

    monkeypatch.setattr(driver, "start", not_yet)
    (host.host_dir / LIST).write_text(json.dumps([comes, stopped, never]))
    bring_back(host, driver, cloud.control, pause)
    assert pause.seen[0] == {} and never not in pause.seen[1]
    assert told() == driver.domains() == {comes: 1, stopped: 4, never: 4}
    for id in (comes, stopped, never):
        driver.destroy(id)


def test_active_guests_come_back_after_the_machine_was_booted(
    cloud: Cloud, host: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mechanism: guests.machine_was_booted. A stopped server stays off; without a boot, nothing is started; and one
    whose guest is lost keeps no other waiting (`_started`), whichever comes first."""
    monkeypatch.setattr(host_loops, "RESTART_TRIES", 1)
    driver, stop = Driver(host, cloud.control), threading.Event()
    active, resized, stopped, resized_off, *lost = (spec(cloud.claim(new_id())) for _ in range(8))
    known = [(active, "active", 1), (resized, "resized", 1), (stopped, "stopped", 4), (resized_off, "resized", 4)]
    with cloud.compute.write() as session:
        for each, state, power in [*known, *((gone, "active", 1) for gone in lost)]:
            here = {"vm_state": state, "power_state": power}
            session.add(Instance(id=each.instance_id, project_id="p", user_id="u", name="vm", **here))
    for each, *_ in known:
        driver.spawn(each, lambda *_: None)
        driver._domains.stop(each.instance_id)
    (host.host_dir / "boot-id").unlink(missing_ok=True)
    bring_back(host, driver, cloud.control, stop)
    assert set(driver.domains().values()) == {4}
    (host.host_dir / "boot-id").write_text("another boot")
    bring_back(host, driver, cloud.control, stop)
    assert driver.domains() == {each.instance_id: power for each, _, power in known}
    for each, *_ in known:
        driver.destroy(each.instance_id)
