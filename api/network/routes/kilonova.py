"""Routes between this service and the hosts that carry its networks: what to carry, and what is carried."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import JSONResponse

from api.network.ask import Ask
from api.network.model import hosts, placement, topology
from api.network.routes.settling import looked
from api.network.schemas.hosts import HostReport
from api.network.store import topology_revision

router = APIRouter(prefix="/v2.0/kilonova")
HostName = Annotated[str, Query(min_length=1, max_length=255)]
Wait = Annotated[float, Query(ge=0, le=30)]


@router.get("/topology")
async def show_topology(ask: Ask, host: HostName, wait: Wait = 0.0) -> Response:
    """What a host must carry: networks, ports with their rules, sets, routers. While nothing has changed since the
    caller's ETag: 304, after `wait` seconds."""
    ask.enforce_host("get_topology", host)
    known = {tag.strip().removeprefix("W/") for tag in ask.request.headers.get("if-none-match", "").split(",")}

    def look() -> tuple[Response, bool]:
        answer = _look(ask, host, known)
        return answer, answer.status_code != 304

    return await looked(ask, ask.store.news, wait, look)


def _look(ask: Ask, host: str, known: set[str]) -> Response:
    """The ETag is the store's revision, read first: what changes in between is seen by the next look."""
    with ask.store.read() as session:
        etag = f'"{topology_revision(session)}"'
        if etag in known:
            return Response(status_code=304, headers={"ETag": etag})
        return JSONResponse(topology.of_host(session, host), headers={"ETag": etag})


@router.put("/hosts/{host}", status_code=204)
def report_host(ask: Ask, host: Annotated[str, Path(max_length=255)], body: HostReport) -> None:
    """A host's report of itself and of the state of its routers, floating addresses and ports."""
    ask.enforce_host("report_host", host)
    with ask.store.write() as session:
        hosts.report(session, host, body)
        placement.place(session)
    ask.store.reported.tell()
