"""trigger_crash_dump: the guest gets a non-maskable interrupt, and does what it is set up to do then."""

from typing import ClassVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from infra.contracts.guarded import Guarded
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts

from workflows.body import Body
from workflows.saga import Saga
from workflows.server_operation import ServerOperation


class CrashDumpBody(Body):
    """The only action without arguments whose schema in Nova says so."""

    is_null: ClassVar = True


@workflow.defn
class CrashDumpInstance(ServerOperation):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.dump)

    async def dump(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        now = await saga.step(
            Hypervisor.inject_nmi,
            Guarded(instance_id=server.instance_id, attempt=server.attempt),
            undo=None,  # an interrupt cannot be taken back
            at=self.host_of(server),
        )
        return InstanceChange(power_state=now.power_state)
