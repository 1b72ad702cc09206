"""restore: what the project may have, now that the server counts again."""

from typing import Any

from sqlalchemy import RowMapping

from api.compute.call import ComputeCall
from api.compute.records import quotas
from workflows.restore_instance import Restoring


def prepare(call: ComputeCall, row: RowMapping, _wish: dict[str, Any]) -> dict[str, Any]:
    with call.db.read() as session:
        limits = quotas.limits(session, row["project_id"])
    return Restoring(quota={resource: limits[resource] for resource in ("instances", "cores", "ram")}).model_dump()
