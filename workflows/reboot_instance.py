"""reboot: soft lets the guest go down by itself, for a time, and starts it again; hard ends it, makes it anew from the
records, and starts that. So does soft where its config drive tells of its ports what is not so any more."""

from typing import Annotated, Literal

from pydantic import BeforeValidator
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.hypervisor import Hypervisor
    from infra.contracts.network import drive_is_old, networks_now
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts
    from infra.contracts.power import Reboot

from workflows.body import Body
from workflows.from_records import made_anew
from workflows.saga import Saga
from workflows.server_operation import ServerOperation


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class RebootBody(Body):
    """Source: Compute API reference, "Reboot server"; the type in any case of letters."""

    type: Annotated[Literal["SOFT", "HARD"], BeforeValidator(_upper)]


@workflow.defn
class RebootInstance(ServerOperation):
    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.reboot)

    async def reboot(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        host, soft = self.host_of(server), req.body["type"] == "SOFT"
        spec = None
        if (soft and drive_is_old(server.networks)) or (
            not soft and (req.steps_of >= 1 or workflow.patched("from-records"))
        ):
            spec = await made_anew(server, host, saga)
        rebooted = await saga.step(
            Hypervisor.reboot,
            Reboot(
                instance_id=server.instance_id,
                attempt=server.attempt,
                soft=soft,
                request_id=req.requester.request_id,
                spec=spec,
            ),
            undo=None,  # the guest runs, or the step is repeated until it does
            at=host,
        )
        networks = networks_now(server.networks, spec.vifs) if spec else None
        return InstanceChange(vm_state="active", power_state=rebooted.power_state, networks=networks)
