"""Hosts as an audit asks them: each over its own task queue, so many at once; who does not answer has said nothing."""

import asyncio
import uuid
from collections.abc import Callable, Iterable
from datetime import timedelta

from temporalio.client import Client
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError

from infra.contracts.hypervisor import HostFacts, HostRef
from infra.temporal import compute_queue

AT_ONCE = 16
PATIENCE = timedelta(seconds=20)


class AuditedHosts:
    """`up_hosts`: names of the hosts that report."""

    def __init__(self, client: Client, up_hosts: Callable[[], list[str]]) -> None:
        self._client, self._up_hosts = client, up_hosts

    async def facts(self, only: Iterable[str] | None = None) -> dict[str, HostFacts | None]:
        """Host → what lies on it, None when it did not answer; of the hosts in `only` those that are up."""
        up = await asyncio.to_thread(self._up_hosts)
        wanted = up if only is None else sorted(set(up) & set(only))
        gate = asyncio.Semaphore(AT_ONCE)

        async def ask(host: str) -> HostFacts | None:
            async with gate:
                return await self._ask(host)

        return dict(zip(wanted, await asyncio.gather(*(ask(host) for host in wanted)), strict=True))

    async def _ask(self, host: str) -> HostFacts | None:
        try:
            found: HostFacts = await self._client.execute_activity(
                "host_facts",
                HostRef(host=host),
                id=f"audit-host_facts-{host}-{uuid.uuid4()}",
                task_queue=compute_queue(host),
                result_type=HostFacts,
                schedule_to_close_timeout=PATIENCE,
            )
            return found
        except (TemporalError, RPCError):
            return None
