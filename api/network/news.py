"""What was committed, told to the requests that wait for it."""

import asyncio
import threading


class News:
    """Waiters of this process only: what another process commits is seen by looking at the store."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: set[asyncio.Future[None]] = set()

    def next(self) -> "asyncio.Future[None]":
        """Done at the next `tell`. To be asked for before the look that it saves from missing anything."""
        waiter = asyncio.get_running_loop().create_future()
        with self._guard:
            self._waiting.add(waiter)
        waiter.add_done_callback(self._forget)
        return waiter

    def tell(self) -> None:
        """From any thread."""
        with self._guard:
            waiting = list(self._waiting)
        for waiter in waiting:
            waiter.get_loop().call_soon_threadsafe(_end, waiter)

    def _forget(self, waiter: "asyncio.Future[None]") -> None:
        with self._guard:
            self._waiting.discard(waiter)


def _end(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
