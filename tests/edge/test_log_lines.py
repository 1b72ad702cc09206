"""The line that tells of a request is written once its answer is on its way: nobody waits for a log.

Switched off by: `RequestIds` writing the line before it passes the answer on."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from api.common.application import RequestIds

PATIENCE_S = 20


class Slow:
    """A log that takes no line before `go` is set; `lines`: status of each, and whether that was awaited in vain."""

    def __init__(self) -> None:
        self.go, self.wrote = threading.Event(), threading.Event()
        self.lines: list[tuple[int, bool]] = []

    def info(self, _event: str, *, status: int, **_facts: Any) -> None:
        self.lines.append((status, not self.go.wait(PATIENCE_S)))
        self.wrote.set()


@contextmanager
def served() -> Iterator[str]:
    """Where an application answers that has its requests told of as ours, by the same loop and protocol."""
    taken = socket.create_server(("127.0.0.1", 0))
    app = RequestIds(PlainTextResponse("here", status_code=202), "compute")
    server = uvicorn.Server(uvicorn.Config(app, loop="uvloop", http="httptools", lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, args=([taken],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)


def test_an_answer_does_not_wait_for_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Slow()
    monkeypatch.setattr("api.common.application.log", log)
    with served() as url:
        answer = httpx.get(url, timeout=2 * PATIENCE_S)
        log.go.set()
        assert answer.text == "here" and answer.headers["x-openstack-request-id"].startswith("req-")
        assert log.wrote.wait(PATIENCE_S)
    assert log.lines == [(202, False)]
