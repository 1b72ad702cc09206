"""A server's ports in its record follow what the network service has, as it told, or as a look found."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.services import Services
    from infra.contracts.network import PortsHeld, as_looked_at
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
            PortsHeld(
                instance_id=server.instance_id, ports={port["port_id"]: port["network_id"] for port in server.networks}
            ),
            undo=None,  # reads only
            at=control(),
        )
        return InstanceChange(networks=[as_looked_at(port, seen) for port in server.networks])
