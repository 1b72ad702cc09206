"""A port is attached to a server that exists: made or bound, plugged on the host, then put into the guest."""

from typing import Any
from uuid import UUID, uuid5

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from activities.network import Network
    from infra.contracts.errors import hopeless
    from infra.contracts.hypervisor import NicOnGuest
    from infra.contracts.network import PortRequest, network_of
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts

from workflows.body import Body
from workflows.inputs import ports_of
from workflows.requests import Accepted
from workflows.saga import Saga
from workflows.server_operation import ServerOperation

NUMBERS = 64
"""Of the ports made for one server: the audit knows its own by them (activities/auditing/marks.py)."""


class AttachInterfaceBody(Body):
    """What the route made of its body: `port_id` is the tenant's own port, else one is made on the network."""

    network_id: str = ""
    port_id: str = ""
    fixed_ip: str = ""
    tag: str = ""


@workflow.defn
class AttachInterface(ServerOperation):
    """The answer tells what the port is, as Nova's does: it is given when the guest has the interface."""

    accepts_late = True

    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.attach)

    @classmethod
    def answer(cls, req: ActionRequest, server: InstanceFacts) -> Accepted:
        """Of a request that was carried out before; "" when its port was detached since."""
        asked = req.requester.request_id
        port_id = next((port["port_id"] for port in server.networks if port.get("request_id") == asked), "")
        return Accepted(instance_id=req.instance_id, answer={"port_id": port_id})

    async def attach(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        wish, host = AttachInterfaceBody.model_validate(req.body), self.host_of(server)
        if any(port["port_id"] == wish.port_id for port in server.networks):
            raise hopeless(f"Port {wish.port_id} is still in use.", code=409)
        port = PortRequest(
            port_id=wish.port_id or free_port_id(server),
            network_id=wish.network_id or None,
            fixed_ip=wish.fixed_ip or None,
            mine=not wish.port_id,
            tag=wish.tag or None,
        )
        self.unless_undone(requested_ports={**server.ports, port.port_id: port.mine})
        plugged = await saga.step(
            Network.plug_ports,
            ports_of(server).model_copy(update={"ports": [port]}),
            undo=Network.unplug_ports,
            at=host,
        )
        vif = plugged.vifs[0]
        await saga.step(
            Hypervisor.plug_nic,
            NicOnGuest(instance_id=server.instance_id, attempt=server.attempt, vif=vif, anew=True),
            undo=Hypervisor.unplug_nic,
            at=host,
        )
        self.told = Accepted(instance_id=req.instance_id, answer={"port_id": vif.port_id})
        made: dict[str, Any] = {"request_id": req.requester.request_id, "made_as": port.port_id}
        return InstanceChange(
            networks=[*server.networks, network_of(vif) | made],
            requested_ports={**server.ports, vif.port_id: port.mine},
        )


def free_port_id(server: InstanceFacts) -> str:
    """The first id of the server's own that no port of it has. A network service that takes no chosen ids has it as
    the port's name. Raises Hopeless (400) when all are taken."""
    taken = {*server.ports, *(port.get("made_as") for port in server.networks)}
    for number in range(NUMBERS):
        chosen = str(uuid5(UUID(server.instance_id), f"port/{number}"))
        if chosen not in taken:
            return chosen
    raise hopeless(f"A server has at most {NUMBERS} interfaces.", code=400)
