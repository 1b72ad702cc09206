"""An answer that waits, within bounds, until hosts have done what the request asks for."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from sqlmodel import Session

from api.network.ask import Asker
from api.network.model.kinds import Kind, R
from api.network.news import News

LOOK_S = 0.5
"""How often it looks at the store, for what other processes of this service committed."""

Shown = Callable[[Session, list[Any]], JSONResponse]
T = TypeVar("T")


async def looked(ask: Asker, told: News, seconds: float, look: Callable[[], tuple[T, bool]]) -> T:
    """The first of `look`'s two answers once the second says that it is final, `seconds` are over, or nobody waits any
    more. Looks again whenever `told` tells of something."""
    end = time.monotonic() + seconds
    while True:
        news = told.next()
        try:
            answer, is_final = await run_in_threadpool(look)
            left = end - time.monotonic()
            if is_final or left <= 0 or await ask.request.is_disconnected():
                return answer
            await asyncio.wait([news], timeout=min(left, LOOK_S))
        finally:
            news.cancel()


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
    seconds = ask.request.app.state.settings.router_wait_s
    return await looked(ask, ask.store.reported, seconds, lambda: _look(ask, kind, ids, is_settled, shown)) or first


def _look(
    ask: Asker, kind: Kind[R], ids: list[str], is_settled: Callable[[R], bool], shown: Shown
) -> tuple[JSONResponse | None, bool]:
    """None and True when somebody has deleted one meanwhile."""
    with ask.store.read() as session:
        rows: list[Any] = [row for id in ids if (row := session.get(kind.table, id)) is not None]
        if len(rows) < len(ids):
            return None, True
        return shown(session, rows), all(is_settled(row) for row in rows)
