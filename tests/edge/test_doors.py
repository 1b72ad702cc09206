"""Nobody fills or stalls a service: token and size come first, half requests end, connections are bounded."""

import os
import resource
import subprocess
import sys
import time
from contextlib import ExitStack, suppress

import httpx
import psutil
import pytest
from fastapi import FastAPI

from infra import http_bounds
from infra.settings import Settings
from tests.compute.conftest import HTTP, Api, Cloud, served
from tests.edge import raw
from tests.ports import free_port
from workers import servers
from workers.connections import raise_open_files

OURS = ["compute", "placement", "network", "volume"]
ROUTES = {
    "compute": "/v2.1/servers",
    "placement": "/resource_providers",
    "network": "/v2.0/networks",
    "volume": "/v3/volumes",
}
MIB = 1 << 20


@pytest.mark.parametrize("service", OURS)
def test_a_large_body_without_a_token_is_refused_unread(cloud: Cloud, service: str) -> None:
    before = psutil.Process().memory_info().rss
    with raw.connect(cloud.settings.port(service)) as connection:
        connection.sendall(raw.head("POST", ROUTES[service], content_length=str(300 * MIB)))
        assert raw.reply(connection).status == 401  # although not one byte of the body was sent
        with suppress(OSError):
            for _ in range(300):
                connection.sendall(bytes(MIB))
    assert psutil.Process().memory_info().rss - before < 40 * MIB


@pytest.mark.parametrize(
    ("service", "asked", "told"),
    [
        ("compute", "compute 2.93", "compute 2.93"),
        ("compute", "compute 9.9", "compute 2.1"),
        ("placement", "placement 1.5", "placement 1.5"),
        ("volume", "volume 3.27", "volume 3.27"),
    ],
)
def test_what_is_refused_at_the_edge_tells_its_microversion(
    admin: Api, cloud: Cloud, service: str, asked: str, told: str
) -> None:
    url, version = f"{cloud.settings.url(service)}{ROUTES[service]}", {"OpenStack-API-Version": asked}
    token = {"X-Auth-Token": admin.token, "Content-Type": "application/json"}
    unreadable = httpx.post(url, content=b"{", headers=version | token, **HTTP)
    nobody = httpx.get(url, headers=version, **HTTP)
    assert (unreadable.status_code, nobody.status_code) == (400, 401)
    for answer in (unreadable, nobody):
        assert answer.headers["openstack-api-version"] == told
        assert "openstack-api-version" in answer.headers["vary"].lower()


@pytest.mark.parametrize("service", OURS)
def test_whoever_goes_on_sending_after_the_answer_is_cut_off(
    cloud: Cloud, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_bounds, "LINGER_S", 0.2)
    with raw.connect(cloud.settings.port(service)) as connection:
        connection.sendall(raw.head("POST", ROUTES[service], content_length=str(300 * MIB)))
        assert raw.reply(connection).status == 401
        assert raw.closed(connection)


@pytest.mark.parametrize("service", OURS)
@pytest.mark.parametrize("declared", [True, False])
def test_a_large_body_with_a_token_is_refused(cloud: Cloud, admin: Api, service: str, declared: bool) -> None:
    size = {"content_length": str(300 * MIB)} if declared else {"transfer_encoding": "chunked"}
    with raw.connect(cloud.settings.port(service)) as connection:
        connection.sendall(raw.head("POST", ROUTES[service], x_auth_token=admin.token, **size))
        if not declared:
            for _ in range(20):
                connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        assert raw.reply(connection).status == 413


def test_a_connection_lives_on_after_a_refusal(cloud: Cloud, admin: Api) -> None:
    with raw.connect(cloud.settings.port("compute")) as connection:
        for token, status in (("", 401), ("\xe4\xf6", 401), ("nonsense", 401), (admin.token, 200)):
            connection.sendall(raw.head("GET", "/v2.1/servers", x_auth_token=token))
            assert raw.reply(connection).status == status


def test_a_slow_body_is_not_waited_for(cloud: Cloud, admin: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_bounds, "BODY_IDLE_S", 0.3)
    with raw.connect(cloud.settings.port("compute")) as connection:
        connection.sendall(raw.head("POST", "/v2.1/servers", x_auth_token=admin.token, content_length="100") + b"{")
        assert raw.reply(connection).status == 408
        assert raw.closed(connection)


def test_a_head_that_does_not_end_is_cut_off(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_bounds, "HEAD_S", 0.3)
    with raw.connect(cloud.settings.port("network")) as silent, raw.connect(cloud.settings.port("network")) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert raw.closed(slow) and raw.closed(silent)


def test_a_head_without_end_is_refused(cloud: Cloud) -> None:
    with raw.connect(cloud.settings.port("volume")) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * (2 * http_bounds.HEAD_BYTES))
        assert raw.reply(connection).status == 400


def test_half_requests_hold_nobody_up(cloud: Cloud, admin: Api) -> None:
    """1,100 of them on one service; their sockets' other ends are in this process, too."""
    raise_open_files()
    with ExitStack() as held:
        for _ in range(1100):
            held.enter_context(raw.connect(cloud.settings.port("compute"))).sendall(b"GET / HTTP/1.1\r\n")
        begun = time.monotonic()
        admin.get("/servers")
        assert time.monotonic() - begun < 5  # a busy machine; held up it would wait for HEAD_S


def test_a_full_service_makes_room_for_who_asks() -> None:
    """With as many connections as may be, the oldest half request is given up, not the newcomer."""
    app = FastAPI()

    @app.get("/")
    async def here() -> str:
        return "here"

    port = free_port()
    with served(app, port, connections=20), ExitStack() as held:
        half = [held.enter_context(raw.connect(port)) for _ in range(60)]
        for connection in half:
            try:
                connection.sendall(b"GET / HTTP/1.1\r\n")
            except ConnectionError:
                continue
        for _ in range(5):
            with raw.connect(port) as connection:
                connection.sendall(raw.head("GET", "/"))
                assert raw.reply(connection).status == 200
        assert raw.closed(half[0])


def test_a_service_may_open_as_many_files_as_the_system_lets_it() -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (300, resource.getrlimit(7)[1]));"
        "from workers.connections import raise_open_files; raise_open_files();"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=dict(os.environ))
    assert int(done.stdout) == min(hard, 65_536)


def test_the_services_are_started_with_these_bounds(tmp_path: object) -> None:
    server = servers.server(FastAPI(), "127.0.0.1", 1, 7)
    server.config.load()
    assert server.config.http_protocol_class.most == 7  # type: ignore[attr-defined]
    assert server.config.ws_protocol_class is None
    assert Settings().trusted_proxies == []
