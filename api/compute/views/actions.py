"""Instance actions and their steps as JSON, as far as the caller may see them."""

from typing import Any

from api.compute.call import ComputeCall
from api.compute.records.actions import updated_at
from api.compute.views import shapes
from api.compute.views.spans import at
from api.compute.views.states import host_id, micro
from infra.contracts.step import DEADLINE
from infra.tables.compute import InstanceAction


def action_view(call: ComputeCall, action: InstanceAction) -> dict[str, Any]:
    shown = {
        "action": action.action,
        "instance_uuid": action.instance_id,
        "request_id": action.request_id,
        "user_id": action.user_id,
        "project_id": action.project_id,
        "start_time": micro(action.start_time),
        "message": action.message,
        "updated_at": micro(updated_at(action)),
    }
    return at(call.version, shapes.InstanceAction, shown)


class EventView:
    """Admins see host and error text; owners see the steps from 2.51, and by when all is to be over."""

    def __init__(self, call: ComputeCall, project_id: str) -> None:
        self._call, self._project = call, project_id
        self._all = call.allows("os_compute_api:os-instance-actions:events", project_id=project_id)
        self._details = call.allows("os_compute_api:os-instance-actions:events:details", project_id=project_id)

    @property
    def any(self) -> bool:
        return self._all or self._call.since(51)

    def render(self, row: dict[str, Any]) -> dict[str, Any]:
        attempt = row.get("attempt") or 1
        shown = {
            "event": row["event"] if attempt == 1 else f"{row['event']} (attempt {attempt})",
            "start_time": micro(row.get("start_time")),
            "finish_time": micro(row.get("finish_time")),
            "result": row.get("result"),
            "hostId": host_id(row.get("host"), self._project),
        }
        details = row.get("details")
        is_deadline = (details or "").startswith(DEADLINE)
        if self._all:
            shown |= {"traceback": None if is_deadline else details, "host": row.get("host")}
        if self._details or is_deadline:
            shown["details"] = details
        return at(self._call.version, shapes.ActionEvent, shown)
