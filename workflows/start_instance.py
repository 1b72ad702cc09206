"""os-start: the guest runs again as its host keeps it, or, where that was lost or damaged, as its records have it."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from infra.contracts.network import drive_is_old, networks_now
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.power import PowerOn

from workflows.from_records import made_anew
from workflows.saga import Saga
from workflows.server_operation import ServerOperation


@workflow.defn
class StartInstance(ServerOperation):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.start)

    async def start(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        host, began = self.host_of(server), PowerOn(instance_id=server.instance_id, attempt=server.attempt)
        if req.steps_of < 1 and not workflow.patched("from-records"):
            started = await saga.step(
                Hypervisor.power_on,
                began,
                undo=None,  # as below
                at=host,
            )
            return InstanceChange(vm_state="active", power_state=started.power_state)
        old = drive_is_old(server.networks)
        started = await saga.step(
            Hypervisor.start_guest,
            began.model_copy(update={"old_drive": old}),
            undo=None,  # a guest that runs is what was asked for, even when its record could not say so in time
            at=host,
        )
        networks = None
        if started.lacking:
            spec = await made_anew(server, host, saga)
            networks = networks_now(server.networks, spec.vifs)
            started = await saga.step(
                Hypervisor.start_guest,
                began.model_copy(update={"spec": spec}),
                undo=None,  # as above
                at=host,
            )
        return InstanceChange(vm_state="active", power_state=started.power_state, networks=networks)
