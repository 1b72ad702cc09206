"""An answer that waits, within bounds, until hosts have done what the request asks for."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from sqlmodel import Session

from api.network.ask import Asker
from api.network.model.kinds import Kind, R

LOOK_S = 0.5
"""How often it looks at the store, for what other processes of this service committed."""

Shown = Callable[[Session, list[Any]], JSONResponse]


async def settled(
    ask: Asker,
    kind: Kind[R],
    do: Callable[[], tuple[JSONResponse, list[str]]],
    is_settled: Callable[[R], bool],
    shown: Shown,
) -> JSONResponse:
    """The answer of `do` (its second: the rows' ids), as `shown` once all of the rows are settled or `router_wait_s`
    is over."""
    first, ids = await run_in_threadpool(do)
    end = time.monotonic() + ask.request.app.state.settings.router_wait_s
    while True:
        news = ask.store.reported.next()
        try:
            answer, over = await run_in_threadpool(_look, ask, kind, ids, is_settled, shown)
            left = end - time.monotonic()
            if over or left <= 0 or await ask.request.is_disconnected():
                return answer or first
            await asyncio.wait([news], timeout=min(left, LOOK_S))
        finally:
            news.cancel()


def _look(
    ask: Asker, kind: Kind[R], ids: list[str], is_settled: Callable[[R], bool], shown: Shown
) -> tuple[JSONResponse | None, bool]:
    """None and True when somebody has deleted one meanwhile."""
    with ask.store.read() as session:
        rows: list[Any] = [row for id in ids if (row := session.get(kind.table, id)) is not None]
        if len(rows) < len(ids):
            return None, True
        return shown(session, rows), all(is_settled(row) for row in rows)
