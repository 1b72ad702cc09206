"""A third compute host with a hypervisor of its own, whose worker and heartbeat a test switches on and off."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, update
from sqlmodel import col
from temporalio.client import WorkflowHandle
from temporalio.worker import Worker

from infra.contracts.hypervisor import DomainSpec, FlavorFacts
from infra.contracts.network import Plugged
from infra.contracts.placement import Claimed
from infra.contracts.requests import BootRequest
from infra.contracts.volume import Attached
from infra.stores.listening import LISTENER
from infra.tables.compute import Allocation, ComputeNode, Service, now
from infra.temporal import compute_queue
from tests.workflows.cloud import NODE, Cloud
from workers.build import build_id
from workers.compute import Host
from workers.interceptors import StepInterceptor
from workers.sign_in import as_host
from workflows.inputs import domain_spec

NAME = "extra"


class Extra:
    def __init__(self, cloud: Cloud, place: Path, **settings: Any) -> None:
        (place / "node.xml").write_text(NODE)
        changed = {"libvirt_uri": f"test://{place}/node.xml", **settings}
        self.cloud, self.name = cloud, str(settings.get("host", NAME))
        mine = as_host(cloud.settings.model_copy(update={"host": self.name}))
        self.settings = mine.model_copy(update=changed)
        self.host = Host.connect(self.settings)

    def report(self, memory_mb: int = 1 << 30) -> None:
        """A heartbeat. With so much memory every build goes here first."""
        facts = {**self.host.driver.inventory(), "memory_mb": memory_mb, "vcpus": 64}
        more = {"host_ip": "127.0.0.1", "zone": "nova", "started_at": "2026-01-01T00:00:00Z"}
        self.host.control.heartbeat({**facts, **more})

    def fall_silent(self) -> None:
        """As if the last heartbeat were long ago, and the API had listened since long before."""
        silent = update(Service).where(col(Service.host) == self.name, col(Service.binary) != LISTENER)
        listens = update(Service).where(col(Service.binary) == LISTENER)
        with self.cloud.database.write() as session:
            session.execute(silent.values(last_seen=now() - timedelta(days=1)))
            session.execute(listens.values(updated_at=now() - timedelta(days=2)))

    def forget(self) -> None:
        for instance_id in self.host.driver.present():  # its hypervisor outlives it, and so do files
            self.host.driver.destroy(instance_id)
        with self.cloud.database.write() as session:
            for table in (Service, ComputeNode, Allocation):
                session.execute(delete(table).where(col(table.host) == self.name))

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        with ThreadPoolExecutor(8) as pool:
            async with Worker(
                self.cloud.client,
                task_queue=compute_queue(self.name),
                build_id=build_id(),
                activities=self.host.activities(),
                activity_executor=pool,
                interceptors=[self.cloud.faults, StepInterceptor(self.name)],
            ):
                yield

    async def claimed(self, boot: WorkflowHandle[Any, Any]) -> None:
        """Once the boot has its claim on this host."""
        for _ in range(200):
            claim = self.cloud.claim(boot)
            if claim is not None:
                assert claim.host == self.name
                return
            await asyncio.sleep(0.05)
        raise AssertionError("no claim")

    def spec(self, request: BootRequest, attempt: int = 1) -> DomainSpec:
        flavor = FlavorFacts(id="tiny", name="tiny", ram=64, vcpus=1, disk=0)
        return domain_spec(request, Claimed(host=self.name, attempt=attempt), flavor, None, Plugged(), Attached())

    def guests(self) -> set[str]:
        return set(self.host.driver.domains())
