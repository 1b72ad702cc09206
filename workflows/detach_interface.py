"""A port is detached from a server: the guest gives it back, then ours is deleted and a tenant's own unbound."""

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from activities.network import Network
    from infra.contracts.errors import hopeless
    from infra.contracts.hypervisor import NicOnGuest
    from infra.contracts.network import PortRequest, vif_of
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts

from workflows.body import Body
from workflows.inputs import ports_of
from workflows.saga import Saga
from workflows.server_operation import ServerOperation


class DetachInterfaceBody(Body):
    port_id: str


@workflow.defn
class DetachInterface(ServerOperation):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.detach)

    def require(self, req: ActionRequest, server: InstanceFacts) -> None:
        _held(req, server)

    async def detach(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        port_id, held = req.body["port_id"], _held(req, server)
        host = self.host_of(server)
        await saga.step(
            Hypervisor.unplug_nic,
            NicOnGuest(instance_id=server.instance_id, attempt=server.attempt, vif=vif_of(held)),
            undo=None,  # what the guest gave back stays out; asked for again, the detach goes on here
            at=host,
        )
        port = PortRequest(port_id=port_id, mine=server.ports.get(port_id, True))
        await saga.step(
            Network.unplug_ports,
            ports_of(server).model_copy(update={"ports": [port]}),
            undo=None,  # the guest has it no more
            at=host,
        )
        return InstanceChange(
            networks=[each for each in server.networks if each is not held],
            requested_ports={id: mine for id, mine in server.ports.items() if id != port_id},
        )


def _held(req: ActionRequest, server: InstanceFacts) -> dict[str, Any]:
    """Raises Hopeless (404) where a detach that came before took it away."""
    port_id = req.body["port_id"]
    held: dict[str, Any] | None = next((port for port in server.networks if port["port_id"] == port_id), None)
    if held is None:
        raise hopeless(f"Port id {port_id} could not be found.", code=404)
    return held
