"""A volume that was made for a server, and is to outlive it, since the server gives it back."""

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.services import Services
    from infra.contracts.operation import InstanceFacts
    from infra.contracts.volume import VolumeMark

from workflows.saga import Saga, control


def goes(volume: dict[str, Any]) -> bool:
    """Whether it carries the mark by which the audit removes what a deleted server left."""
    return bool(volume.get("create") and volume.get("delete_on_termination"))


async def outlives(server: InstanceFacts, volume: dict[str, Any], saga: Saga) -> None:
    mark = VolumeMark(instance_id=server.instance_id, volume_id=volume["volume_id"], goes=False, went=True)
    await saga.step(
        Services.mark_volume,
        mark,
        undo=Services.unmark_volume,
        at=control(),
    )
