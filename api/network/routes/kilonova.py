"""Routes between this service and the hosts that carry its networks: what to carry, and what is carried."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import JSONResponse
from sqlmodel import Session

from api.network.ask import Ask
from api.network.model import filters, hosts, placement, topology
from api.network.schemas.hosts import HostReport
from api.network.store import topology_revision

router = APIRouter(prefix="/v2.0/kilonova")
HostName = Annotated[str, Query(min_length=1, max_length=255)]


def _unless_known(ask: Ask, build: Callable[[Session], dict[str, Any]]) -> Response:
    """What `build` makes, with an ETag; `If-None-Match` with it answers 304 without a body.

    The revision is read first: what changes in between is seen by the next poll."""
    known = {tag.strip().removeprefix("W/") for tag in ask.request.headers.get("if-none-match", "").split(",")}
    with ask.store.read() as session:
        etag = f'"{topology_revision(session)}"'
        if etag in known:
            return Response(status_code=304, headers={"ETag": etag})
        return JSONResponse(build(session), headers={"ETag": etag})


@router.get("/topology")
def show_topology(ask: Ask, host: HostName) -> Response:
    """What a host must carry: networks, ports with their rules, sets, routers; 304 while nothing has changed."""
    ask.enforce_host("get_topology", host)
    return _unless_known(ask, lambda session: topology.of_host(session, host))


@router.get("/filters")
def show_filters(ask: Ask, host: HostName) -> Response:
    """Ports of a host with their rules, remote groups already turned into addresses."""
    ask.enforce_host("get_topology", host)
    return _unless_known(ask, lambda session: {"ports": filters.of_host(session, host)})


@router.put("/hosts/{host}", status_code=204)
def report_host(ask: Ask, host: Annotated[str, Path(max_length=255)], body: HostReport) -> None:
    """A host's report of itself and of the state of its routers, floating addresses and ports."""
    ask.enforce_host("report_host", host)
    with ask.store.write() as session:
        hosts.report(session, host, body)
        placement.place(session)
