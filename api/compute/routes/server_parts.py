"""Parts of a server: metadata, tags, addresses (Compute API reference: "Servers - metadata, tags, IPs")."""

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from sqlalchemy import RowMapping

from api.compute import limits
from api.compute.call import Body, Call, ComputeCall, versions
from api.compute.errors import bad_request, forbidden, not_found
from api.compute.floating import floating_of
from api.compute.records import instances, port_groups, quotas
from api.compute.records.extras import Extras
from api.compute.schemas.servers import MetaBody, MetadataBody, TagsBody
from api.compute.validation import check, check_query
from api.compute.views.states import addresses

router = APIRouter()
TAGS = [versions(26)]
WORDS = {
    "create": "update metadata",
    "update": "update metadata",
    "update_all": "update metadata",
    "delete": "delete metadata",
}
TAG_WORDS = {"update": "update tag", "update_all": "update tags", "delete": "delete tag", "delete_all": "delete tags"}
"""Rule → the action as Nova's 409 names it."""


@router.get("/servers/{server_id}/topology", dependencies=[versions(78)])
def show_topology(call: Call, server_id: str) -> Response:
    """NUMA nodes of a server: none, since no host gives a guest any."""
    row = instances.read(call, server_id)
    call.enforce("compute:server:topology:index", project_id=row["project_id"], user_id=row["user_id"])
    return JSONResponse({"nodes": [], "pagesize_kb": None})


@router.get("/servers/{server_id}/metadata")
def list_metadata(call: Call, server_id: str) -> Response:
    """All metadata of a server."""
    check_query(call, since=102)
    row = instances.read(call, server_id, "server-metadata:index")
    return JSONResponse({"metadata": row["server_metadata"] or {}})


@router.post("/servers/{server_id}/metadata")
def create_metadata(call: Call, server_id: str, body: Body) -> Response:
    """Add metadata; existing keys get the new value."""
    wish = check(MetadataBody, body, "").metadata
    return JSONResponse({"metadata": _change(call, server_id, "create", lambda known: {**known, **wish})})


@router.put("/servers/{server_id}/metadata")
def replace_metadata(call: Call, server_id: str, body: Body) -> Response:
    """Replace all metadata."""
    wish = check(MetadataBody, body, "").metadata
    return JSONResponse({"metadata": _change(call, server_id, "update_all", lambda _known: wish)})


@router.get("/servers/{server_id}/metadata/{key}")
def show_metadata_item(call: Call, server_id: str, key: str) -> Response:
    """One metadata item."""
    check_query(call, since=102)
    known = instances.read(call, server_id, "server-metadata:show")["server_metadata"] or {}
    if key not in known:
        raise not_found("Metadata item was not found")
    return JSONResponse({"meta": {key: known[key]}})


@router.put("/servers/{server_id}/metadata/{key}")
def update_metadata_item(call: Call, server_id: str, key: str, body: Body) -> Response:
    """Set one metadata item."""
    wish = check(MetaBody, body, "").meta
    if key not in wish:
        raise bad_request("Request body and URI mismatch")
    _change(call, server_id, "update", lambda known: {**known, **wish})
    return JSONResponse({"meta": wish})


@router.delete("/servers/{server_id}/metadata/{key}", status_code=204)
def delete_metadata_item(call: Call, server_id: str, key: str) -> Response:
    """Remove one metadata item."""

    def without(known: dict[str, str]) -> dict[str, str]:
        if key not in known:
            raise not_found("Metadata item was not found")
        return {name: value for name, value in known.items() if name != key}

    _change(call, server_id, "delete", without)
    return Response(status_code=204)


def _change(call: ComputeCall, server_id: str, rule: str, make: Any) -> dict[str, str]:
    with call.db.write() as session:
        row = instances.find(session, call, server_id)
        call.enforce(f"os_compute_api:server-metadata:{rule}", project_id=row["project_id"])
        instances.require_unlocked(call, row)
        instances.require_taggable(row, WORDS[rule])
        value: dict[str, str] = make(row["server_metadata"] or {})
        limit = quotas.limits(session, row["project_id"])["metadata_items"]
        if 0 <= limit < len(value):
            raise forbidden(f"Maximum number of metadata items exceeds {limit}")
        instances.change(session, server_id, server_metadata=value)
    return value


@router.get("/servers/{server_id}/tags", dependencies=TAGS)
def list_tags(call: Call, server_id: str) -> Response:
    """A server's tags."""
    return JSONResponse({"tags": instances.read(call, server_id, "os-server-tags:index")["tags"] or []})


@router.put("/servers/{server_id}/tags", dependencies=TAGS)
def replace_tags(call: Call, server_id: str, body: Body) -> Response:
    """Replace all tags."""
    wish = list(dict.fromkeys(check(TagsBody, body, "").tags))
    return JSONResponse({"tags": _tag(call, server_id, "update_all", lambda _known: wish)})


@router.delete("/servers/{server_id}/tags", status_code=204, dependencies=TAGS)
def delete_tags(call: Call, server_id: str) -> Response:
    """Remove all tags."""
    _tag(call, server_id, "delete_all", lambda _known: [])
    return Response(status_code=204)


@router.get("/servers/{server_id}/tags/{tag}", status_code=204, dependencies=TAGS)
def check_tag(call: Call, server_id: str, tag: str) -> Response:
    """204 when the server has the tag, else 404."""
    _has(server_id, tag, instances.read(call, server_id, "os-server-tags:show")["tags"] or [])
    return Response(status_code=204)


@router.put("/servers/{server_id}/tags/{tag}", status_code=201, dependencies=TAGS)
def add_tag(call: Call, server_id: str, tag: str) -> Response:
    """Add one tag: 201, or 204 when the server has it already."""
    check(TagsBody, {"tags": [tag]}, "")
    known = instances.read(call, server_id)["tags"] or []
    _tag(call, server_id, "update", lambda has: has if tag in has else [*has, tag])
    if tag in known:
        return Response(status_code=204)
    return Response(status_code=201, headers={"Location": call.url(f"/servers/{server_id}/tags/{tag}")})


@router.delete("/servers/{server_id}/tags/{tag}", status_code=204, dependencies=TAGS)
def delete_tag(call: Call, server_id: str, tag: str) -> Response:
    """Remove one tag."""

    def without(known: list[str]) -> list[str]:
        _has(server_id, tag, known)
        return [each for each in known if each != tag]

    _tag(call, server_id, "delete", without)
    return Response(status_code=204)


def _has(server_id: str, tag: str, known: list[str]) -> None:
    if tag not in known:
        raise not_found(f"Server {server_id} has no tag '{tag[:60]}'")


def _tag(call: ComputeCall, server_id: str, rule: str, make: Any) -> list[str]:
    with call.db.write() as session:
        row = instances.find(session, call, server_id)
        call.enforce(f"os_compute_api:os-server-tags:{rule}", project_id=row["project_id"])
        instances.require_taggable(row, TAG_WORDS[rule])
        value: list[str] = make(row["tags"] or [])
        if len(value) > limits.TAGS:
            raise bad_request(limits.TAGS_WORDS)
        instances.change(session, server_id, tags=value)
    return value


@router.get("/servers/{server_id}/ips")
def list_addresses(call: Call, server_id: str) -> Response:
    """A server's addresses by network."""
    check_query(call, since=102)
    row = instances.read(call, server_id, "ips:index")
    return JSONResponse({"addresses": _addresses(call, row)})


@router.get("/servers/{server_id}/ips/{label}")
def list_addresses_of_network(call: Call, server_id: str, label: str) -> Response:
    """A server's addresses on one network."""
    check_query(call, since=102)
    row = instances.read(call, server_id, "ips:show")
    shown = _addresses(call, row)
    if label not in shown:
        raise not_found("Instance is not a member of specified network")
    return JSONResponse({label: shown[label]})


def _addresses(call: ComputeCall, row: RowMapping) -> dict[str, list[dict[str, Any]]]:
    ports = port_groups.beside(call, [row], Extras()).ports
    return addresses(row, floating_of(call), extended=False, ports=ports)
