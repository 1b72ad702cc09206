"""Servers as a test of workflows handles them, whatever cloud is behind: booted with faults armed, held, ended."""

import asyncio
import time
import uuid
from copy import copy
from typing import Any, Self

from sqlmodel import select
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle

from api.compute.operations import Operations
from infra.contracts.local_disks import LocalDisk
from infra.contracts.network import PortRequest
from infra.contracts.requests import BUILD_OF, BootRequest, DeleteRequest, Requester
from infra.contracts.volume import VolumeRequest
from infra.database import Database
from infra.settings import Settings
from infra.tables.compute import Allocation, Instance
from infra.temporal import server_workflow_id
from tests.faults import Faults
from tests.ids import stable_id

HOSTS = ("node1", "node2")
SWAP = LocalDisk(kind="swap", size_mb=1, device="vdb")
EPHEMERAL = LocalDisk(kind="ephemeral", size_mb=1, guest_format="vfat", device="vdc", of_flavor=False)


class Servers:
    """`token`, `user`, `project` and `network` are set by whoever prepares the cloud."""

    token = user = project = network = ""

    def __init__(self, settings: Settings, client: Client, database: Database) -> None:
        self.settings, self.client, self.database = settings, client, database
        self.faults = self.injected = Faults()
        self.ops = Operations(client, settings, database)

    def apart(self) -> Self:
        """The same cloud, whose faults are around those servers alone that are booted through it: several cases at a
        time, each with faults of its own."""
        mine = copy(self)
        mine.faults = Faults()
        return mine

    def booted(self, instance_id: str) -> bool:
        """Whether this server's faults are the ones here."""
        return self.injected.around(instance_id) is self.faults

    def request(self, **more: Any) -> BootRequest:
        """A server with a NIC, a disk from an image, swap, an ephemeral disk, and a volume made for it: every step has
        something to do."""
        id = str(uuid.uuid4())
        volume = VolumeRequest(
            volume_id=stable_id(id, "volume/0"),
            attachment_id=stable_id(id, "attachment/0"),
            create=True,
            size_gb=1,
            delete_on_termination=True,
        )
        return BootRequest(
            **{
                "requester": self.requester(),
                "instance_id": id,
                "name": "server",
                "hostname": "server",
                "image_id": str(uuid.uuid4()),
                "image_properties": {"hw_qemu_guest_agent": "yes"},
                "flavor_id": "tiny",
                "admin_pass": "hunter2-admin",
                "build_of": BUILD_OF,
                "user_data": "aHVudGVyMi11c2VyLWRhdGE=",
                "ports": [PortRequest(port_id=stable_id(id, "port/0"), network_id=self.network)],
                "volumes": [volume],
                "local_disks": [SWAP, EPHEMERAL],
                **more,
            }
        )

    def requester(self) -> Requester:
        return Requester(token=self.token, user_id=self.user, project_id=self.project, request_id=f"req-{uuid.uuid4()}")

    def copied(self, before: tuple[str, ...]) -> WorkflowHandle[Any, Any] | None:
        """A server like the one to which these actions were done, where the cloud can copy one."""
        return None

    def keep(self, before: tuple[str, ...], handle: WorkflowHandle[Any, Any]) -> None:
        """This server may be copied."""

    async def boot(self, request: BootRequest | None = None, **faults: Any) -> WorkflowHandle[Any, Any]:
        """Start one boot with these faults armed; a refusal is no concern here, the workflow's end tells."""
        self.faults.arm(**faults)
        request = request or self.request()
        self._is_mine(request.instance_id)
        starting = asyncio.create_task(self.ops.boot(request))
        starting.add_done_callback(lambda done: done.cancelled() or done.exception())
        async with asyncio.timeout(60):  # until its first step: to ask Temporal before that is an answer for nothing
            while not (self.faults.ran or starting.done()):
                await asyncio.sleep(0.01)
        return await self.begun(request)

    def _is_mine(self, instance_id: str) -> None:
        if self.faults is not self.injected:
            self.injected.apart[instance_id] = self.faults

    async def begun(self, request: BootRequest) -> WorkflowHandle[Any, Any]:
        """The boot's workflow, once there is one."""
        handle = self.client.get_workflow_handle(server_workflow_id(request.instance_id))
        for _ in range(500):
            try:
                await handle.describe()
                return handle
            except Exception:
                await asyncio.sleep(0.01)
        raise AssertionError("the boot did not start")

    async def delete(self, handle: WorkflowHandle[Any, Any], reclaim_after_s: float = 0) -> None:
        id = instance_of(handle)
        await self.ops.delete(
            DeleteRequest(requester=self.requester(), instance_id=id, reclaim_after_s=reclaim_after_s)
        )

    async def end(self, handle: WorkflowHandle[Any, Any]) -> BaseException | None:
        """How the operation ended: None, or what it failed with. Follows a boot that went on as a delete."""
        newest = self.client.get_workflow_handle(handle.id)
        try:
            await asyncio.wait_for(newest.result(), 60)
        except TimeoutError:
            raise
        except Exception as error:
            return error.__cause__ or error
        return None

    async def cancel(self, handle: WorkflowHandle[Any, Any]) -> None:
        """Cancel, and wait until workflow code has seen it, so that the held step cannot win the race."""
        await handle.cancel()
        await self.seen(handle, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED)

    async def seen(self, handle: WorkflowHandle[Any, Any], kind: EventType.ValueType, patience_s: float = 5) -> None:
        """Until a workflow task was completed after an event of `kind`. A local step's task ends only with the step."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            after = False
            async for event in handle.fetch_history_events():
                after |= event.event_type == kind
                if after and event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                    return
            if self.faults.hold_is_local:
                return
            await asyncio.sleep(0.02)

    def record(self, handle: WorkflowHandle[Any, Any]) -> Instance | None:
        with self.database.read() as session:
            return session.get(Instance, instance_of(handle))

    def claim(self, handle: WorkflowHandle[Any, Any]) -> Allocation | None:
        with self.database.read() as session:
            return session.get(Allocation, instance_of(handle))

    async def clear(self) -> None:
        """Delete every server that there still is."""
        with self.database.read() as session:
            live = session.exec(select(Instance.id).where(Instance.vm_state != "deleted")).all()
        for instance_id in live:
            await self.take_away(self.client.get_workflow_handle(server_workflow_id(instance_id)))

    async def take_away(self, handle: WorkflowHandle[Any, Any]) -> None:
        """Whatever it is in, and whatever becomes of that."""
        await self.delete(handle)
        await self.end(handle)


def instance_of(handle: WorkflowHandle[Any, Any]) -> str:
    return handle.id.removeprefix("server-")
