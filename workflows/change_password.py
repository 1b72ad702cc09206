"""changePassword: the agent within the guest sets its administrator's password."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.agent import Agent
    from infra.contracts.agent import NewPassword
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts

from workflows.body import Body
from workflows.saga import Saga
from workflows.server_operation import ServerOperation


class ChangePasswordBody(Body):
    """Source: Compute API reference, "Change Administrative Password"."""

    adminPass: str


def administrator(properties: dict[str, str]) -> str:
    """By the image's properties `os_admin_user` and `os_type`."""
    return properties.get("os_admin_user") or ("Administrator" if properties.get("os_type") == "windows" else "root")


@workflow.defn
class ChangePassword(ServerOperation):
    accepts_late = True  # the client is told whether the guest has it

    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.change_password)

    async def change_password(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        await saga.step(
            Agent.set_password,
            NewPassword(
                instance_id=server.instance_id,
                attempt=server.attempt,
                user=administrator(server.image_properties),
                password=req.body["adminPass"],
            ),
            undo=None,  # nobody here knows the one before
            at=self.host_of(server),
        )
        self.accept(self.answer(req, server))
        return InstanceChange()
