"""The types of the volumes that a build makes (2.67). Source: `_check_requested_volume_type` of Nova's compute API."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from api.compute.call import ComputeCall
from api.compute.errors import bad_request
from api.compute.neighbours import neighbours
from infra.openstack import VOLUME

if TYPE_CHECKING:
    from api.compute.boot.disks import DiskPlan

AT_ONCE = 1000


def with_types(call: ComputeCall, plans: list[DiskPlan]) -> list[DiskPlan]:
    """Each type by its id; 400 in Nova's words for one that the caller does not see under that id or name."""
    if not any(plan.volume_type for plan in plans):
        return plans
    known = _visible(call)
    return [replace(plan, volume_type=_found(known, plan.volume_type)) if plan.volume_type else plan for plan in plans]


def _found(known: dict[str, str], wanted: str) -> str:
    for id, name in known.items():
        if wanted in (id, name):
            return id
    raise bad_request(f"Volume type {wanted} could not be found.")


def _visible(call: ComputeCall) -> dict[str, str]:
    """Id → name of all types that the caller sees, page by page."""
    found: dict[str, str] = {}
    marker = ""
    while True:
        query: dict[str, Any] = {"is_public": "None", "limit": AT_ONCE} | ({"marker": marker} if marker else {})
        answer = neighbours(call).get(call, VOLUME, f"/types?{urlencode(query)}") or {}
        page = {str(each["id"]): str(each["name"]) for each in answer.get("volume_types", [])}
        found |= page
        if not answer.get("volume_type_links") or not page:
            return found
        marker = list(page)[-1]
