"""An answer that waits, within bounds, until hosts have done what the request asks for."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api.network.ask import Asker
from api.network.model.kinds import Kind, R
from api.network.routes.answers import made

LOOK_S = 0.5
"""How often it looks at the store, for what other processes of this service committed."""


async def settled(
    ask: Asker,
    kind: Kind[R],
    create: Callable[[], tuple[JSONResponse, list[str], bool]],
    is_settled: Callable[[R], bool],
) -> JSONResponse:
    """The answer of `create` (its second: the new rows' ids, its third: whether a list was asked for), as it is once
    all of the rows are settled or `new_router_wait_s` is over."""
    first, ids, many = await run_in_threadpool(create)
    end = time.monotonic() + ask.request.app.state.settings.new_router_wait_s
    while True:
        news = ask.store.reported.next()
        try:
            answer, over = await run_in_threadpool(_look, ask, kind, ids, many, is_settled)
            left = end - time.monotonic()
            if over or left <= 0 or await ask.request.is_disconnected():
                return answer or first
            await asyncio.wait([news], timeout=min(left, LOOK_S))
        finally:
            news.cancel()


def _look(
    ask: Asker, kind: Kind[R], ids: list[str], many: bool, is_settled: Callable[[R], bool]
) -> tuple[JSONResponse | None, bool]:
    """None and True when somebody has deleted one meanwhile."""
    with ask.store.read() as session:
        rows: list[Any] = [row for id in ids if (row := session.get(kind.table, id)) is not None]
        if len(rows) < len(ids):
            return None, True
        return made(session, ask, kind, rows, many), all(is_settled(row) for row in rows)
