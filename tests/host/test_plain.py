"""Requests by the short way: what a server sees of them, and what becomes of one that goes, stalls, or breaks off."""

import gzip
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from infra.transport import Transport


class Handler(BaseHTTPRequestHandler):
    """Answers with what it was asked, in the way that the path names."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server: Server = self.server  # type: ignore[assignment]
        server.clients.add(self.client_address)
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        told = {"path": self.path, "body": sent, "headers": dict(self.headers), "method": self.command}
        content, more = json.dumps(told).encode(), dict[str, str]()
        if "slow" in self.path:
            server.release.wait(10)
        if "gzip" in self.path:
            content, more = gzip.compress(content), {"Content-Encoding": "gzip"}
        if "cookie" in self.path:
            more = {"Set-Cookie": "balancer=two; Path=/"}
        self.send_response(200, "Fine")
        for name, value in more.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content) + 100 * ("breaks" in self.path)))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = "ends" in self.path or "breaks" in self.path

    do_GET = do_DELETE = do_POST

    def log_message(self, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.clients: set[Any] = set()
        self.release = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        threading.Thread(target=found.serve_forever, args=(0.02,)).start()
        yield found
        found.release.set()
        found.shutdown()


def asked(server: Server, path: str, method: str = "GET", **more: Any) -> Any:
    return Transport().request(method, server.url + path, allow_redirects=False, **more)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("more", [{}, {"json": {"ü": 1}}, {"data": "ü"}, {"headers": {"X-Auth-Token": "secret"}}])
def test_a_server_is_told_what_the_long_way_tells(server: Server, method: str, more: dict[str, Any]) -> None:
    short, long = asked(server, "/a?b=%20", method, **more), requests.request(method, f"{server.url}/a?b=%20", **more)
    ours, theirs = short.json(), long.json()
    for told in (ours, theirs):
        told["headers"].pop("Accept-Encoding")
    assert ours == theirs
    assert (short.status_code, short.reason, short.encoding) == (long.status_code, long.reason, long.encoding)
    assert short.headers["content-type"] == "application/json" and short.text == short.content.decode()


def test_a_connection_is_kept(server: Server) -> None:
    transport = Transport()
    for _ in range(3):
        transport.get(f"{server.url}/")
    assert len(server.clients) == 1


@pytest.mark.parametrize("said", ["ends", "ends/later"])
def test_a_connection_that_its_server_ended_is_not_used_again(server: Server, said: str) -> None:
    transport = Transport()
    for _ in range(3):
        assert transport.post(f"{server.url}/{said}", json={}).status_code == 200
        time.sleep(0.05)
    assert len(server.clients) == 3


def test_an_answer_that_breaks_off_is_none(server: Server) -> None:
    with pytest.raises(requests.exceptions.ConnectionError):
        asked(server, "/breaks")


def test_a_server_that_stalls_is_not_waited_for(server: Server) -> None:
    with pytest.raises(requests.exceptions.Timeout):
        asked(server, "/slow", timeout=0.2)


def test_a_server_that_is_gone() -> None:
    with Server() as gone:
        url = gone.url
    with pytest.raises(requests.exceptions.ConnectionError):
        Transport().get(url)


def test_an_answer_is_unpacked_though_nobody_asked_for_that(server: Server) -> None:
    answer = asked(server, "/gzip")
    assert answer.json()["headers"]["Accept-Encoding"] == "identity"


def test_a_cookie_comes_back(server: Server) -> None:
    transport = Transport()
    transport.get(f"{server.url}/cookie")
    assert transport.get(f"{server.url}/").json()["headers"]["Cookie"] == "balancer=two"


def test_a_proxy_is_asked_for_what_is_behind_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    assert Transport().get("http://elsewhere.example/x").json()["path"] == "http://elsewhere.example/x"
