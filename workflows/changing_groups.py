"""What addSecurityGroup and removeSecurityGroup share: every port of the server gets a group, or loses it."""

from typing import Annotated, Any

from pydantic import StringConstraints
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.security_groups import SecurityGroups
    from infra.contracts.network import GroupOnPorts, GroupOnServer
    from infra.contracts.operation import ActionRequest, InstanceChange, InstanceFacts

from workflows.body import Body
from workflows.saga import Saga, control
from workflows.server_operation import ServerOperation


class GroupBody(Body):
    """`name`: of the group, or its id."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=255, strip_whitespace=True)]


class ChangeGroups(ServerOperation):
    """Answered at the end, as Nova answers: what is shown next is so."""

    accepts_late = True
    adds = True

    async def change(self, req: ActionRequest, server: InstanceFacts, saga: Saga) -> InstanceChange:
        wish: dict[str, Any] = {"instance_id": server.instance_id, "group_id": req.body["group_id"], "add": self.adds}
        found = await saga.step(
            SecurityGroups.find_ports,
            GroupOnServer(**wish, name=req.body["name"]),
            undo=None,  # reads only
            at=control(),
        )
        await saga.step(
            SecurityGroups.change_groups,
            GroupOnPorts(**wish, port_ids=found.port_ids),
            undo=SecurityGroups.restore_groups,
            at=control(),
        )
        return InstanceChange()
