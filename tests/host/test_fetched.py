"""Small requests without keystoneauth1 around them: what the server sees, and what goes the long way after all."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from keystoneauth1.exceptions import EndpointNotFound
from keystoneauth1.plugin import BaseAuthPlugin
from keystoneauth1.session import Session

from infra.host.services.rest import Service, Unexpected
from infra.identity import TokenFacts
from infra.openstack import IMAGE, VOLUME, UserClient
from infra.settings import Settings
from infra.transport import Transport


class Handler(BaseHTTPRequestHandler):
    """Knows the token `good`. A path says which status it has."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Server = self.server  # type: ignore[assignment]
        server.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server.told.append((self.command, json.loads(body) if body else None))
        if server.drops:
            server.drops -= 1
            self.close_connection = True
            return
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

    do_POST = do_DELETE = do_PUT = do_GET

    def log_message(self, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.told: list[tuple[str, Any]] = []
        self.drops = 0
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


@pytest.mark.parametrize(("method", "body"), [("POST", {"ü": [1]}), ("POST", None), ("DELETE", None)])
def test_a_change_says_what_it_says_the_long_way(server: Server, method: str, body: Any) -> None:
    """A PUT goes that way: beside the body, its headers are the same."""
    more = {} if body is None else {"json": body}
    for way in (method, "PUT"):
        answer = service(SignedIn(server.url)).request(way, "/attachments", headers={"X-Wish": "true"}, **more)
        assert answer.json() == {"path": "/v2.1/attachments"}
    (_, short), (_, long) = server.seen
    assert server.told == [(method, body), ("PUT", body)]
    assert "user-agent" in long and "user-agent" not in short  # one of the two went without keystoneauth1
    told = ("x-auth-token", "x-wish", "accept", "content-type")
    assert [short.get(name) for name in told] == [long.get(name) for name in told]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_change_without_an_answer_is_asked_for_again(server: Server, method: str) -> None:
    server.drops = 1
    assert service(SignedIn(server.url)).request(method, "/attachments").status_code == 200
    assert [path for path, _ in server.seen] == ["/v2.1/attachments"] * 2


def user(server: Server, token: str = "good") -> UserClient:
    catalog = {"type": "volumev3", "endpoints": [{"interface": "public", "region_id": "here", "url": server.url}]}
    facts = TokenFacts(user_id="someone", catalog=[catalog])
    session = Session(session=Transport(), timeout=10)
    return UserClient(session, token, facts, Settings(identity_url=server.url, region="here"))


def test_a_user_asks_with_his_own_token_at_the_address_of_his_catalog(server: Server) -> None:
    client = user(server)
    for _ in range(2):
        answer = client.get(VOLUME, "/volumes/one", headers={"X-OpenStack-Request-ID": "req-1"})
        assert (answer.status_code, answer.json()) == (200, {"path": "/volumes/one"})
    assert [headers.get("user-agent") for _, headers in server.seen] == [None, None]
    assert {(headers["x-auth-token"], headers["x-openstack-request-id"]) for _, headers in server.seen} == {
        ("good", "req-1")
    }


def test_a_user_s_token_that_is_refused_is_his_to_make_anew(server: Server) -> None:
    assert user(server, "old").get(VOLUME, "/volumes/one").status_code == 401


def test_a_service_that_is_not_in_a_user_s_catalog_has_no_address(server: Server) -> None:
    with pytest.raises(EndpointNotFound):
        user(server).get(IMAGE, "/images/one")
