"""Route that compute hosts poll: all filters of one host in one answer, or 304 while nothing has changed."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from api.network.ask import Ask
from api.network.model import filters
from api.network.store import filters_revision

router = APIRouter(prefix="/v2.0/kilonova/filters")


@router.get("")
def show_filters(ask: Ask, host: Annotated[str, Query(min_length=1, max_length=255)]) -> Response:
    """`{"ports": […]}` of model.filters.of_host, with an ETag; `If-None-Match` with it answers 304 without a body.

    The revision is read before the ports: what changes in between is seen by the next poll."""
    ask.enforce("get_filters", ask.project_id)
    known = {tag.strip().removeprefix("W/") for tag in ask.request.headers.get("if-none-match", "").split(",")}
    with ask.store.read() as session:
        etag = f'"{filters_revision(session)}"'
        if etag in known:
            return Response(status_code=304, headers={"ETag": etag})
        return JSONResponse({"ports": filters.of_host(session, host)}, headers={"ETag": etag})
