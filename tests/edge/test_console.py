"""Bounds of the console proxy: half requests, long heads, too many connections, too many viewers of one screen."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from infra.settings import Settings
from tests.ports import free_offset
from workers import console_bounds as bounds
from workers.console import ConsoleServer

UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
)


class OneScreen:
    """Any token leads to one listening socket."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", str(port))

    def lookup(self, _token: str) -> tuple[str, str]:
        return self._target


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Of a proxy with room for six connections, and two viewers of its screen."""
    for name, value in {"HEAD_S": 0.6, "CONNECTIONS": 6, "PER_SCREEN": 2}.items():
        monkeypatch.setattr(bounds, name, value)
    settings = Settings(state_dir=tmp_path, port_offset=free_offset())
    with socket.create_server(("127.0.0.1", 0)) as screen:
        tokens: Any = OneScreen(screen.getsockname()[1])
        with ConsoleServer(settings, tokens) as server:
            serving = threading.Thread(target=server.serve_forever)
            serving.start()
            yield settings.port("console")
            server.shutdown()
            serving.join()


def visitor(port: int, head: str) -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", port), timeout=10)
    peer.sendall(head.encode())
    return peer


def answer(peer: socket.socket) -> int:
    """The status; 0 when the connection ended without one."""
    try:
        line = peer.makefile("rb").readline()
    except ConnectionError:
        return 0
    return int(line.split()[1]) if line else 0


def ended(peer: socket.socket) -> bool:
    try:
        return not peer.recv(1)
    except ConnectionError:
        return True


def page(port: int) -> int:
    """The status of a whole request: 404, since nothing is there."""
    with visitor(port, "GET /none HTTP/1.0\r\n\r\n") as peer:
        return answer(peer)


@pytest.mark.parametrize("half", ["", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\n"])
def test_half_a_request_is_cut_off(port: int, half: str) -> None:
    with visitor(port, half) as peer:
        assert ended(peer)


def test_a_head_has_an_end(port: int) -> None:
    lines = "".join(f"X-{number}: {'x' * 1000}\r\n" for number in range(90))
    with visitor(port, f"GET /none HTTP/1.1\r\n{lines}\r\n") as peer:
        assert answer(peer) == 0
    assert page(port) in (404, 405)


def test_more_connections_than_there_is_room_for_end_at_once(port: int) -> None:
    with ExitStack() as held:
        waiting = [held.enter_context(visitor(port, "GET")) for _ in range(6)]
        with visitor(port, "GET /none HTTP/1.0\r\n\r\n") as late:
            assert answer(late) == 0
        assert all(ended(peer) for peer in waiting)
    for _ in range(100):
        if page(port):
            return
    pytest.fail("room was not given back")


def test_a_screen_has_so_many_viewers(port: int) -> None:
    """Who looks on is not cut off by the time that heads have; a seat that is left is given to the next."""
    ask = f"GET /?token=x HTTP/1.1\r\nHost: h\r\n{UPGRADE}\r\n"
    first, second = visitor(port, ask), visitor(port, ask)
    assert [answer(peer) for peer in (first, second)] == [101, 101]
    with visitor(port, ask) as third:
        assert answer(third) == 503
    second.settimeout(1.2)
    with pytest.raises(TimeoutError):
        while second.recv(4096):
            pass
    first.close()
    for _ in range(100):
        with visitor(port, ask) as next_one:
            if answer(next_one) == 101:
                break
    else:
        pytest.fail("the seat was not given back")
    second.close()
