"""GETs of a service without keystoneauth1 around them: what the server sees, and what goes the long way after all."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from keystoneauth1.plugin import BaseAuthPlugin
from keystoneauth1.session import Session

from infra.host.services.rest import Service, Unexpected
from infra.transport import Transport


class Handler(BaseHTTPRequestHandler):
    """Knows the token `good`. A path says which status it has."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Server = self.server  # type: ignore[assignment]
        server.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        wanted = int(self.path.rpartition("/")[2]) if self.path.rpartition("/")[2].isdigit() else 200
        status = wanted if self.headers["X-Auth-Token"] == "good" else 401
        content = json.dumps({"path": self.path}).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", f"{server.url}/v2.1/moved")
        for vary in ("Accept", "OpenStack-API-Version"):
            self.send_header("Vary", vary)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class SignedIn(BaseAuthPlugin):  # type: ignore[misc]
    def __init__(self, url: str, token: str = "good") -> None:
        super().__init__()
        self.url, self.token = url, token

    def get_token(self, session: Session) -> str:
        return self.token

    def get_endpoint(self, session: Session, **kwargs: Any) -> str:
        return self.url

    def invalidate(self) -> bool:
        self.token = "good"
        return True


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        threading.Thread(target=found.serve_forever, args=(0.02,)).start()
        yield found
        found.shutdown()


def service(auth: SignedIn) -> Service:
    return Service(Session(auth=auth, session=Transport(), timeout=10), "compute", "/v2.1", "here")


@pytest.mark.parametrize("status", [200, 404])
def test_an_answer_is_one_request_with_the_token(server: Server, status: int) -> None:
    answer = service(SignedIn(server.url)).ask("GET", f"/claims/{status}", 200, 404)
    assert (answer.status_code, answer.json()) == (status, {"path": f"/v2.1/claims/{status}"})
    assert answer.headers["vary"] == "Accept, OpenStack-API-Version"
    ((path, headers),) = server.seen
    assert path == f"/v2.1/claims/{status}"
    assert (headers["x-auth-token"], headers["accept"]) == ("good", "application/json")
    assert headers["host"] == server.url.removeprefix("http://")


def test_a_token_that_is_refused_is_made_anew(server: Server) -> None:
    assert service(SignedIn(server.url, "old")).ask("GET", "/claims").status_code == 200
    assert [headers["x-auth-token"] for _, headers in server.seen] == ["old", "old", "good"]


def test_what_moved_is_followed(server: Server) -> None:
    assert service(SignedIn(server.url)).ask("GET", "/claims/302").json() == {"path": "/v2.1/moved"}


def test_a_path_that_needs_quoting_is_quoted(server: Server) -> None:
    service(SignedIn(server.url)).ask("GET", "/claims/a b?x=ü")
    assert [path for path, _ in server.seen] == ["/v2.1/claims/a%20b?x=%C3%BC"]


def test_a_server_that_is_gone_is_transient(server: Server) -> None:
    server.shutdown()
    server.server_close()
    session = Session(auth=SignedIn(server.url), session=Transport(), timeout=1, connect_retries=0)
    with pytest.raises(Unexpected):
        Service(session, "compute", "/v2.1", "here").ask("GET", "/claims")
