"""Hypervisors (Compute API reference, "Hypervisors"); what is used there is the sum of allocations."""

import re
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from sqlmodel import Session

from api.common.parsers import is_uuid
from api.compute.call import Call, ComputeCall, versions
from api.compute.errors import bad_request, not_found, not_implemented
from api.compute.paging import MAX_LIMIT, Page
from api.compute.records import hosts
from api.compute.validation import boolean, check_query
from api.compute.views.hosts import capacity, hypervisor_detail, hypervisor_view
from infra.tables.compute import ComputeNode

router = APIRouter()
RULE = "os_compute_api:os-hypervisors:"
QUERY = ("limit", "marker", "hypervisor_hostname_pattern", "with_servers")


@router.get("/os-hypervisors")
def list_hypervisors(call: Call) -> Response:
    """Hypervisors by name and state."""
    call.enforce(RULE + "list")
    return _listing(call, detail=False)


@router.get("/os-hypervisors/detail")
def list_hypervisors_detail(call: Call) -> Response:
    """Hypervisors with their inventory (until 2.87) and uptime (from 2.88)."""
    call.enforce(RULE + "list-detail")
    return _listing(call, detail=True)


def _listing(call: ComputeCall, *, detail: bool) -> Response:
    check_query(call, *QUERY, since=53)
    query = call.query if call.since(53) else {}
    pattern = query.get("hypervisor_hostname_pattern")
    if pattern is not None and ("limit" in query or "marker" in query):
        raise bad_request(
            "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported."
        )
    page = Page.of(call) if call.since(33) and pattern is None else Page(MAX_LIMIT, None)
    with call.db.read() as session:
        nodes = page.cut(_matching(session, pattern), "id" if call.since(53) else "number")
        shown = _shown(session, call, nodes, detail=detail, with_servers=_with_servers(call))
    body: dict[str, Any] = {"hypervisors": shown}
    path = "/os-hypervisors/detail" if detail else "/os-hypervisors"
    if call.since(33) and pattern is None and (links := page.links(call, path, [str(n["id"]) for n in shown])):
        body["hypervisors_links"] = links
    return JSONResponse(body)


def _matching(session: Session, pattern: str | None) -> list[ComputeNode]:
    """404 when a pattern is given and no host's name contains it."""
    nodes = hosts.all_nodes(session)
    if pattern is None:
        return nodes
    found = [node for node in nodes if pattern.lower() in node.host.lower()]
    if not found:
        raise not_found(f"No hypervisor matching '{pattern[:255]}' could be found.")
    return found


def _with_servers(call: ComputeCall) -> bool:
    return call.since(53) and boolean(call.query.get("with_servers", "false"))


def _shown(
    session: Session, call: ComputeCall, nodes: list[ComputeNode], *, detail: bool, with_servers: bool
) -> list[dict[str, Any]]:
    services = {service.host: service for service in hosts.all_services(session, binary=hosts.COMPUTE)}
    inside = detail and not call.since(88)
    used = hosts.usage(session) if inside else {}
    servers = hosts.servers_on(session, [node.host for node in nodes]) if inside or with_servers else {}
    shown = []
    for node in nodes:
        service, here = services[node.host], servers.get(node.host, [])
        busy = sum(1 for server in here if server["task_state"])
        view = (
            hypervisor_detail(call, node, service, used.get(node.host), busy)
            if detail
            else hypervisor_view(call, node, service)
        )
        if with_servers and (here or call.since(75)):
            view["servers"] = [{"name": f"instance-{s['id'][:8]}", "uuid": s["id"]} for s in here]
        shown.append(view)
    return shown


@router.get("/os-hypervisors/statistics", dependencies=[versions(1, 87)])
def show_statistics(call: Call) -> Response:
    """Sums over all enabled hypervisors."""
    call.enforce(RULE + "statistics")
    with call.db.read() as session:
        enabled = {s.host for s in hosts.all_services(session, binary=hosts.COMPUTE) if not s.disabled}
        nodes = [node for node in hosts.all_nodes(session) if node.host in enabled]
        used = hosts.usage(session)
        servers = hosts.servers_on(session, sorted(enabled))
    total: dict[str, int] = {"count": len(nodes), "current_workload": 0}
    for name in capacity(call, ComputeNode(host="", id="", vcpus=0, memory_mb=0, disk_gb=0), None):
        total[name] = sum(capacity(call, node, used.get(node.host))[name] for node in nodes)
    total["current_workload"] = sum(1 for here in servers.values() for server in here if server["task_state"])
    return JSONResponse({"hypervisor_statistics": total})


@router.get("/os-hypervisors/{hypervisor_id}")
def show_hypervisor(call: Call, hypervisor_id: str) -> Response:
    """One hypervisor by its id."""
    check_query(call, "with_servers", since=53)
    call.enforce(RULE + "show")
    with call.db.read() as session:
        node = _find(session, call, hypervisor_id)
        shown = _shown(session, call, [node], detail=True, with_servers=_with_servers(call))
    return JSONResponse({"hypervisor": shown[0]})


@router.get("/os-hypervisors/{hypervisor_id}/uptime", dependencies=[versions(1, 87)])
def show_uptime(call: Call, hypervisor_id: str) -> Response:
    """How long a host has been up, as it reports it."""
    call.enforce(RULE + "uptime")
    with call.db.read() as session:
        node = _find(session, call, hypervisor_id)
        shown = _shown(session, call, [node], detail=False, with_servers=False)[0]
    if not (uptime := node.facts.get("uptime")):
        raise not_implemented(f"Host {node.host} does not report its uptime.")
    return JSONResponse({"hypervisor": shown | {"uptime": uptime}})


@router.get("/os-hypervisors/{pattern}/search", dependencies=[versions(1, 52)])
def search_hypervisors(call: Call, pattern: str) -> Response:
    """Hypervisors whose name contains the pattern."""
    call.enforce(RULE + "search")
    with call.db.read() as session:
        nodes = _matching(session, pattern)
        return JSONResponse({"hypervisors": _shown(session, call, nodes, detail=False, with_servers=False)})


@router.get("/os-hypervisors/{pattern}/servers", dependencies=[versions(1, 52)])
def list_hypervisor_servers(call: Call, pattern: str) -> Response:
    """Hypervisors whose name contains the pattern, with their servers."""
    call.enforce(RULE + "servers")
    with call.db.read() as session:
        nodes = _matching(session, pattern)
        return JSONResponse({"hypervisors": _shown(session, call, nodes, detail=False, with_servers=True)})


def _find(session: Session, call: ComputeCall, wanted: str) -> ComputeNode:
    if call.since(53) and not is_uuid(wanted):
        raise bad_request(f"Invalid uuid {wanted[:64]}")
    if call.since(53) or re.fullmatch(r"[0-9]{1,9}", wanted):
        for node in hosts.all_nodes(session):
            if wanted == (node.id if call.since(53) else str(node.number)):
                return node
    raise not_found(f"Hypervisor with ID '{wanted[:64]}' could not be found.")
