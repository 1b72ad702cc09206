"""removeSecurityGroup: every port of the server loses a group."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from infra.contracts.operation import ActionRequest

from workflows.changing_groups import ChangeGroups


@workflow.defn
class RemoveSecurityGroup(ChangeGroups):
    adds = False

    @workflow.run
    async def run(self, req: ActionRequest) -> None:
        await self.act(req, self.change)
