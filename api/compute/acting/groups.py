"""addSecurityGroup and removeSecurityGroup: the group found by its name or id with the caller's token."""

from typing import Any
from urllib.parse import quote

from sqlalchemy import RowMapping

from api.common.parsers import is_uuid
from api.compute.call import ComputeCall
from api.compute.errors import conflict, not_found
from api.compute.neighbours import neighbours
from infra.openstack import NETWORK


def prepare(call: ComputeCall, _row: RowMapping, wish: dict[str, Any]) -> dict[str, Any]:
    """404 and 409 in Nova's words for a group that is not there and for a name that several have."""
    name = wish["name"]
    if is_uuid(name) and (body := neighbours(call).get(call, NETWORK, f"/v2.0/security-groups/{name}")):
        return {"name": name, "group_id": body["security_group"]["id"]}
    query = f"project_id={call.context.project_id}&fields=id&name={quote(name, safe='')}"
    body = neighbours(call).get(call, NETWORK, f"/v2.0/security-groups?{query}") or {}
    found = body.get("security_groups", [])
    if len(found) > 1:
        raise conflict(f"Multiple security_group matches found for name '{name}', use an ID to be more specific.")
    if not found:
        raise not_found(f"Security group {name} is not found for project {call.context.project_id}")
    return {"name": name, "group_id": found[0]["id"]}
