"""shelveOffload: a shelved server leaves its host; its image, ports and volumes stay."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from activities.image import Image
    from activities.image_record import ImageRecord
    from infra.contracts.hypervisor import DomainRef
    from infra.contracts.image import ImageOnHost
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts, Transition
    from infra.contracts.power_states import SHUTDOWN
    from infra.contracts.snapshot import ImageRef

from workflows.arriving import parted
from workflows.saga import Saga, control
from workflows.server_operation import ServerOperation

OFFLOAD = Transition(
    event="shelveOffload", verb="shelveOffload", allowed=frozenset(("shelved",)), doing="shelving_offloading"
)


@workflow.defn
class OffloadInstance(ServerOperation):
    """Only goes forward: all that the server was lies in its image and its volumes, which is looked at first. One that
    failed half way is asked for once more, by its timer or by an admin."""

    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.offload)

    async def offload(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        host = self.host_of(server)
        if server.shelved_image:
            await saga.step(
                ImageRecord.require_image,
                ImageRef(image_id=server.shelved_image, instance_id=server.instance_id),
                undo=None,  # reads only
                at=control(),
            )
        await saga.step(
            Hypervisor.destroy,
            DomainRef(instance_id=server.instance_id, attempt=server.attempt),
            undo=None,  # see above, as for the following
            at=host,
        )
        await parted(server, host, saga)
        await saga.step(
            Image.remove_disk,
            ImageOnHost(instance_id=server.instance_id, image_id=server.image_id, disk_gb=0),
            undo=None,
            at=host,
        )
        return InstanceChange(vm_state="shelved_offloaded", power_state=SHUTDOWN, cleared=["host"], released=True)
