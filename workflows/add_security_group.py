"""addSecurityGroup: every port of the server gets a group."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from infra.contracts.operation import ActionRequest

from workflows.changing_groups import ChangeGroups


@workflow.defn
class AddSecurityGroup(ChangeGroups):
    adds = True

    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.change)
