"""What an audit found of one server, mended under the server's workflow id: looked at again first, then acted on."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NoReturn, cast

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.audit import Audit
    from activities.hypervisor import Hypervisor
    from activities.image_record import ImageRecord
    from activities.network import Network
    from activities.services import Services
    from infra.contracts.audit import RepairPlan, RepairReport, RepairRequest
    from infra.contracts.hypervisor import HostRef, InstanceRef, NicsOnHost
    from infra.contracts.snapshot import ImageRef

from workflows.delete_instance import DeleteInstance
from workflows.operation import Operation
from workflows.requests import DeleteRequest, Fault
from workflows.saga import In, Out, Place, control, execute

DEADLINE = timedelta(minutes=20)
PATIENCE = timedelta(minutes=5)
"""For one step; the next audit looks at what it could not mend."""
ON_HOST = ("domain", "disk", "host_port")
NETWORK = ("unplugged", "tap", "filter", "dhcp_entry")
SERVICES = ("port", "binding", "attachment", "volume")


@workflow.defn
class RepairInstance(Operation):
    """Nothing here is undone: each step only takes away what nobody owns, or gives a guest back what is its own.

    Its id is the lock: it does not start while another operation runs, and a delete that comes takes over."""

    counter = "kilonova_repairs_total"

    def __init__(self) -> None:
        super().__init__()
        self.task_state = "repairing"
        self.report = RepairReport()
        self.abandon: DeleteRequest | None = None

    @workflow.run
    async def run(self, req: RepairRequest) -> RepairReport:
        self.instance_id = req.instance_id
        await self.carry_out(self.repair(req), DEADLINE, self.tell)
        if self.abandon is not None:
            self._give_way(self.abandon)
        return self.report

    async def repair(self, req: RepairRequest) -> None:
        here = control()
        inspect = cast(Callable[[Any, RepairRequest], RepairPlan], Audit.inspect_instance)  # a coroutine there
        plan = await self.step(inspect, req, here)
        self.report.findings = plan.findings
        self.abandon = plan.abandon
        await self.mend(plan, ON_HOST, lambda: self.clean(plan))
        await self.mend(plan, SERVICES, lambda: self.release(plan, here))
        await self.mend(plan, ("image",), lambda: self.drop(plan, here))
        await self.mend(plan, ("allocation", "console_token", "stuck"), lambda: self.forget(plan, here))
        await self.mend(plan, NETWORK, lambda: self.network(plan))

    async def mend(self, plan: RepairPlan, kinds: tuple[str, ...], work: Callable[[], Any]) -> None:
        """`work` mends all findings of these kinds, or, when a step of it cannot, none of them."""
        found = [finding for finding in plan.findings if finding.kind in kinds]
        if not found:
            return
        try:
            await work()
        except FailureError:
            return  # the log of steps says why, the finding stays
        for finding in found:
            finding.repaired = True

    async def clean(self, plan: RepairPlan) -> None:
        for host in plan.clean:
            await self.step(Hypervisor.clean_up, InstanceRef(instance_id=self.instance_id), _on(host))

    async def release(self, plan: RepairPlan, here: Place) -> None:
        if plan.release is not None:
            await self.step(Services.release_services, plan.release, here)

    async def drop(self, plan: RepairPlan, here: Place) -> None:
        for image_id in plan.images:
            await self.step(ImageRecord.drop_image, ImageRef(image_id=image_id, instance_id=self.instance_id), here)

    async def forget(self, plan: RepairPlan, here: Place) -> None:
        for finding in plan.forget:
            await self.step(Audit.forget, finding, here)

    async def network(self, plan: RepairPlan) -> None:
        for host in plan.sync:
            await self.step(Hypervisor.sync_network, HostRef(host=host), _on(host))
        if plan.plug is not None:
            plugged = await self.step(Network.plug_ports, plan.plug, _on(plan.host))
            nics = NicsOnHost(instance_id=self.instance_id, vifs=plugged.vifs)
            await self.step(Hypervisor.mend_nics, nics, _on(plan.host))

    async def step(self, do: Callable[[Any, In], Out], arg: In, at: Place) -> Out:
        step = self.log.begin(do.__name__, at.host)
        try:
            result = await execute(do, arg, at, step, within=PATIENCE)
        except (FailureError, asyncio.CancelledError) as error:
            self.log.fail(step, error)
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from error
            raise
        self.log.succeed(step, result)
        if workflow.cancellation_reason() is not None or self.interrupted():
            raise asyncio.CancelledError  # a step that finishes despite the cancel swallows it
        return result

    async def tell(self, fault: Fault) -> None:
        """The server is as it was; the audit tells what is left."""
        workflow.logger.warning("repair of %s ended: %s", self.instance_id, fault.message)

    def _give_way(self, deleting: DeleteRequest) -> NoReturn:
        """Without a word about this run: no action of the server's owner is cut off by it."""
        workflow.continue_as_new(deleting, workflow=DeleteInstance.run)


def _on(host: str) -> Place:
    return Place(queue=f"compute.{host}", host=host)
