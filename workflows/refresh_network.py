"""A server's addresses in its record follow what its ports have, as the network service told of a change."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.services import Services
    from infra.contracts.network import PortsHeld
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts

from workflows.saga import Saga, control
from workflows.server_operation import ServerOperation


@workflow.defn
class RefreshNetwork(ServerOperation):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.refresh)

    async def refresh(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        seen = await saga.step(
            Services.look_at_ports,
            PortsHeld(instance_id=server.instance_id),
            undo=None,  # reads only
            at=control(),
        )
        return InstanceChange(
            networks=[
                port | {"fixed_ips": seen.addresses.get(port["port_id"], port["fixed_ips"])} for port in server.networks
            ]
        )
