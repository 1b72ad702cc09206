"""DELETE /servers/{id}: always gets through. What the server holds is undone, whoever still answers."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, cast

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from activities.image import Image
    from activities.image_record import ImageRecord
    from activities.instance import Instance
    from activities.later import Later
    from activities.network import Network
    from activities.placement import Placement
    from activities.services import Services
    from activities.volume import Volume
    from infra.contracts import patience
    from infra.contracts.hypervisor import DomainRef, InstanceRef
    from infra.contracts.image import ImageOnHost
    from infra.contracts.instance import Deleted, DeletePlan
    from infra.contracts.later import Due
    from infra.contracts.network import PortRequest, PortsOnHost
    from infra.contracts.placement import ClaimRequest
    from infra.contracts.power import PowerOff
    from infra.contracts.requests import Cause
    from infra.contracts.snapshot import ImageRef
    from infra.contracts.states import DELETING, SOFT_DELETED
    from infra.contracts.volume import VolumesOnHost

from workflows import metrics
from workflows.later import due_by
from workflows.operation import Operation
from workflows.requests import DeleteRequest
from workflows.saga import HERE, In, Out, Place, control, execute, uncancelled


@workflow.defn
class DeleteInstance(Operation):
    """Nothing here is undone: a delete only goes forward, and every step may be repeated. A step that cannot be done
    is named in the event list and left to the audit, and the others go on."""

    counter = "kilonova_deletes_total"

    def __init__(self) -> None:
        super().__init__()
        self.task_state = DELETING
        self._asked: list[DeleteRequest] = []

    @workflow.run
    async def run(self, req: DeleteRequest) -> None:
        self.instance_id = req.instance_id
        await uncancelled(self.undo_all(req))
        await workflow.wait_condition(workflow.all_handlers_finished)
        others = [each for each in self._asked if each.requester.request_id != req.requester.request_id]
        if others and (req.keep_as or req.follows or req.reclaim_after_s):
            self._give_way(next((each for each in others if not each.reclaim_after_s), others[0]))

    async def undo_all(self, req: DeleteRequest) -> None:
        id = req.instance_id
        plan = await self.step(Instance.begin_delete, req)
        if not plan.found:
            return
        if plan.softly:
            await self.soften(req, plan)
            return
        done = bool(plan.host) and await self.on_host(plan, self._undo_on)
        if plan.source:
            await self.on_host(plan.model_copy(update={"host": plan.source}), self._clean_on)
        if not done and (plan.port_ids or plan.volumes):
            await self.tried(Services.release_services, plan, at=control())
        for image in filter(None, (plan.shelved_image, plan.moved_image, plan.carried_image)):
            await self.tried(ImageRecord.drop_image, ImageRef(image_id=image, instance_id=id), at=control())
        await self.tried(Placement.release_host, ClaimRequest(instance_id=id))
        await self.step(
            Instance.finish_delete,
            Deleted(instance_id=id, request_id=req.requester.request_id, steps=self.log.report(), fault=req.keep_as),
        )
        metrics.ended(self.counter, self.good_end)

    async def soften(self, req: DeleteRequest, plan: DeletePlan) -> None:
        """Only stop it. It is deleted by a timer, unless somebody restores it before."""
        id, asks = plan.instance_id, req.requester
        await self.on_host(plan, self._stop_on)
        softly = Deleted(instance_id=id, request_id=asks.request_id, steps=self.log.report(), softly=True)
        await self.step(Instance.finish_delete, softly)
        cause = Cause(event="delete", request_id=asks.request_id, vm_state=SOFT_DELETED)
        reclaim = DeleteRequest(requester=asks, instance_id=id)
        set_timer = cast(Callable[[Any, Due], None], Later.set_timer)  # a coroutine there
        due = due_by(cause, timedelta(seconds=req.reclaim_after_s), DeleteInstance, reclaim)
        await self.tried(set_timer, due, at=control())
        metrics.ended(self.counter, "soft")

    async def on_host(self, plan: DeletePlan, do: Callable[[Place, DeletePlan], Coroutine[Any, Any, None]]) -> bool:
        """`do` on the server's host. False when it is down: what lies there goes when it comes back."""
        id, host = plan.instance_id, Place(queue=f"compute.{plan.host}", host=plan.host)
        work = asyncio.create_task(do(host, plan))
        give_up = workflow.now() + patience.HOST_PATIENCE
        while not work.done():
            await workflow.wait([work], timeout=patience.DELETE_LOOKS_EVERY.total_seconds())
            if not work.done() and (workflow.now() > give_up or not await self.is_up(plan.host)):
                work.cancel()
                await workflow.wait([work])
                _ = work.cancelled() or work.exception()  # read, or asyncio complains
                workflow.logger.warning("%s is down; %s is cleaned up there when it is back", plan.host, id)
                return False
        work.result()
        return True

    async def _stop_on(self, host: Place, plan: DeletePlan) -> None:
        off = PowerOff(instance_id=plan.instance_id, attempt=plan.attempt)
        await self.tried(Hypervisor.power_off, off, at=host)

    async def _undo_on(self, host: Place, plan: DeletePlan) -> None:
        """Under the number of its claim, by which what another host has of the server is this one's to end."""
        id = plan.instance_id
        held: dict[str, Any] = {"instance_id": id, "project_id": plan.project_id, "attempt": plan.attempt}
        ports = [PortRequest(port_id=port, mine=mine) for port, mine in plan.port_ids.items()]
        await self.tried(Hypervisor.destroy, DomainRef(instance_id=id), at=host)
        disk = ImageOnHost(instance_id=id, image_id=plan.image_id, disk_gb=0)
        undone = [self.tried(Image.remove_disk, disk, at=host)]
        if ports:
            wanted = PortsOnHost(**held, hostname=plan.name, ports=ports)
            undone.append(self.tried(Network.unplug_ports, wanted, at=host))
        if plan.volumes:
            attached = VolumesOnHost(**held, volumes=plan.volumes, deleting=True)
            undone.append(self.tried(Volume.detach_volumes, attached, at=host))
        await asyncio.gather(*undone)

    async def _clean_on(self, host: Place, plan: DeletePlan) -> None:
        await self.tried(Hypervisor.clean_up, InstanceRef(instance_id=plan.instance_id), at=host)

    async def step(
        self, do: Callable[[Any, In], Out], arg: In, at: Place = HERE, within: timedelta | None = None
    ) -> Out:
        step = self.log.begin(do.__name__, at.host)
        try:
            result = await execute(do, arg, at, step, within=within)
        except (FailureError, asyncio.CancelledError) as error:
            self.log.fail(step, error)
            raise
        self.log.succeed(step, result)
        return result

    async def tried(self, do: Callable[[Any, In], object], arg: In, at: Place = HERE) -> None:
        """A step without which the delete goes on: what it leaves behind is found by the audit."""
        try:
            await self.step(do, arg, at, patience.FOR_AN_UNDO)
        except FailureError as error:
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from error  # the host is given up
            metrics.count(
                "kilonova_leftovers_total", "Undos that were given up and left to the audit", step=do.__name__
            )

    @workflow.signal
    def delete(self, request: DeleteRequest) -> None:
        """A second delete asks for what is already being done; one that may keep the server is followed by it. Whose
        request it is, `run` knows: a signal may be handled before it begins."""
        self._asked.append(request)
