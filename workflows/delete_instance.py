"""DELETE /servers/{id}: always gets through. What the server holds is undone, whoever still answers."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from activities.image import Image
    from activities.instance import Instance
    from activities.network import Network
    from activities.placement import Placement
    from activities.services import Services
    from activities.volume import Volume
    from infra.contracts.hypervisor import DomainRef
    from infra.contracts.image import ImageOnHost
    from infra.contracts.instance import Deleted, DeletePlan
    from infra.contracts.network import PortRequest, PortsOnHost
    from infra.contracts.placement import ClaimRequest, HostRef
    from infra.contracts.step import Step
    from infra.contracts.volume import VolumesOnHost

from workflows import metrics
from workflows.requests import DeleteRequest
from workflows.saga import CONTROL, HERE, UNDO, In, Out, Place, execute
from workflows.steps import StepLog

WATCH_EVERY = timedelta(seconds=15)
HOST_PATIENCE = timedelta(minutes=15)
"""A host that is up but does not get it done in so long is left to its own reconciliation."""


@workflow.defn
class DeleteInstance:
    """Nothing here is undone: a delete only goes forward, and every step may be repeated."""

    def __init__(self) -> None:
        self.log = StepLog(lambda: workflow.set_current_details(self.log.as_markdown()))

    @workflow.run
    async def run(self, req: DeleteRequest) -> None:
        id = req.instance_id
        plan = await self.step(Instance.begin_delete, req)
        if not plan.found:
            return
        done = bool(plan.host) and await self.on_host(plan)
        if not done and (plan.port_ids or plan.volumes):
            await self.step(Services.release_services, plan)
        await self.step(Placement.release_host, ClaimRequest(instance_id=id))
        await self.step(
            Instance.finish_delete,
            Deleted(instance_id=id, request_id=req.requester.request_id, steps=self.log.report(), fault=req.keep_as),
        )
        metrics.count("kilonova_deletes_total", "Deletes that came to their end")

    async def on_host(self, plan: DeletePlan) -> bool:
        """Undo on the server's host. False when it is down: what lies there goes when it comes back."""
        id, host = plan.instance_id, Place(queue=f"compute.{plan.host}", host=plan.host)
        work = asyncio.create_task(self._undo_on(host, plan))
        give_up = workflow.now() + HOST_PATIENCE
        while not work.done():
            await workflow.wait([work], timeout=WATCH_EVERY.total_seconds())
            if not work.done() and (workflow.now() > give_up or not await self._is_up(plan.host)):
                work.cancel()
                await workflow.wait([work])
                _ = work.cancelled() or work.exception()  # read, or asyncio complains
                workflow.logger.warning("%s is down; %s is cleaned up there when it is back", plan.host, id)
                return False
        work.result()
        return True

    async def _undo_on(self, host: Place, plan: DeletePlan) -> None:
        id, project = plan.instance_id, plan.project_id
        ports = [PortRequest(port_id=port, mine=mine) for port, mine in plan.port_ids.items()]
        await self.step(Hypervisor.destroy, DomainRef(instance_id=id), at=host)
        undone = [self.step(Image.remove_disk, ImageOnHost(instance_id=id, image_id=plan.image_id, disk_gb=0), at=host)]
        if ports:
            wanted = PortsOnHost(instance_id=id, project_id=project, hostname=plan.name, ports=ports)
            undone.append(self.step(Network.unplug_ports, wanted, at=host))
        if plan.volumes:
            held = VolumesOnHost(instance_id=id, project_id=project, volumes=plan.volumes, deleting=True)
            undone.append(self.step(Volume.detach_volumes, held, at=host))
        await asyncio.gather(*undone)

    async def step(self, do: Callable[[Any, In], Out], arg: In, at: Place = HERE) -> Out:
        step = self.log.begin(do.__name__, at.host)
        result = await execute(do, arg, at, step, UNDO)
        self.log.succeed(step, result)
        return result

    async def _is_up(self, host: str) -> bool:
        step = Step(event="check_host", start_time=workflow.now())
        return await execute(Placement.check_host, HostRef(host=host), HERE, step, CONTROL)

    @workflow.signal
    def delete(self, request: DeleteRequest) -> None:
        """A second delete asks for what is already being done."""

    @workflow.query
    def steps(self) -> list[Step]:
        return self.log.steps
