"""shelve: the guest is off, and its disk in an image; after a time it leaves its host."""

from datetime import timedelta

from pydantic import BaseModel
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.power import PowerOff
    from infra.contracts.power_states import SHUTDOWN
    from infra.contracts.snapshot import SHELVED

from workflows.create_image import MakesImage
from workflows.later import due_after
from workflows.offload_instance import OFFLOAD, OffloadInstance
from workflows.requests import Accepted
from workflows.saga import Saga


class Shelving(BaseModel):
    """A checked shelve. `offload_after_s`: it leaves its host after so long, 0 at once, negative never."""

    name: str
    offload_after_s: float = 0


@workflow.defn
class ShelveInstance(MakesImage):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.shelve)

    @classmethod
    def answer(cls, req: ActionRequest, server: InstanceFacts) -> Accepted:
        return Accepted(instance_id=req.instance_id)  # Nova tells of no image

    async def shelve(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        wish, host = Shelving.model_validate(req.body), self.host_of(server)
        image = self.image_of(req, server, {SHELVED: "True"})
        if server.image_id:
            await self.begin_image(image, req, server, saga)
        else:
            self.accept(self.answer(req, server))
        off = PowerOff(instance_id=server.instance_id, attempt=server.attempt, comes_back=True)
        if server.vm_state == "active":
            await saga.step(
                Hypervisor.power_off,
                off,
                undo=Hypervisor.power_on,
                at=host,
            )
        if server.image_id:
            await self.fill_image(image, server, saga)
        if server.vm_state == "paused":
            # It cannot shut itself down, and what it has in memory is lost with it: not before all else is done.
            self.afterwards(Hypervisor.power_off, off.model_copy(update={"timeout_s": 0, "comes_back": False}), host)
        if wish.offload_after_s >= 0:
            offload = ActionRequest(
                requester=req.requester, instance_id=server.instance_id, action="shelveOffload", transition=OFFLOAD
            )
            delay = timedelta(seconds=wish.offload_after_s)
            self.begin_later(due_after(req, "shelved", delay, OffloadInstance, offload))
        return InstanceChange(vm_state="shelved", power_state=SHUTDOWN)
