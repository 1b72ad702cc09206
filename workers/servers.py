"""Runs the named services' applications in this process: one uvicorn server each, on one event loop."""

import asyncio
import contextlib
import importlib
import signal
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from infra import http_bounds, tracing
from infra.settings import Settings
from workers.connections import Bounded, connections_of, raise_open_files
from workers.settle import settle
from workers.sign_in import as_service

SERVICE_USERS = {"compute": "nova", "placement": "nova", "network": "neutron", "volume": "cinder"}
OPERATORS = {"codec": "workers.codec_server", "temporal_ui": "workers.temporal_ui"}
GRACE_S = 5


class Server(uvicorn.Server):
    """Leaves signals to `serve`, since there are several of it in one process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class ServerFailed(Exception):
    """A service did not start; its log says why."""


def server(
    app: ASGIApp,
    host: str,
    port: int,
    connections: int = http_bounds.CONNECTIONS,
    tls: tuple[Path, Path] | None = None,
) -> Server:
    """A server of `app` with the bounds of `infra.http_bounds`; at most `connections` at a time."""
    protocol = type("Connection", (Bounded,), {"most": connections})
    return Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=protocol,
            ssl_certfile=tls[0] if tls else None,
            ssl_keyfile=tls[1] if tls else None,
            ws="none",
            proxy_headers=False,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            timeout_keep_alive=int(http_bounds.IDLE_S),
            backlog=1024,
        )
    )


def create(service: str, settings: Settings, connections: int = http_bounds.CONNECTIONS) -> Server:
    """The server of api/<service>/app.py's application, or of the codec; ModuleNotFoundError for an unknown service."""
    user = SERVICE_USERS.get(service)
    mine = as_service(settings, user) if user else settings
    module = OPERATORS.get(service, f"api.{service}.app")
    app = importlib.import_module(module).create(mine)
    tracing.instrument(app, service)
    return server(app, settings.listen, settings.port(service), connections, settings.tls_files)


async def serve(settings: Settings, services: list[str]) -> None:
    """Serve until SIGTERM or SIGINT; ServerFailed when one of them does not start or ends by itself."""
    raise_open_files()
    servers = {service: create(service, settings, connections_of(len(services))) for service in services}
    settle()
    stopped = asyncio.Event()

    def stop() -> None:
        stopped.set()
        for server in servers.values():
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    tasks = {asyncio.create_task(server.serve()): service for service, server in servers.items()}
    noted = asyncio.create_task(_noted(settings, servers["compute"])) if "compute" in servers else None
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    asked = stopped.is_set()
    if noted:
        noted.cancel()
    stop()
    await asyncio.wait(tasks)
    for task in tasks:
        if error := task.exception():
            raise error
    if not asked:
        raise ServerFailed(", ".join(sorted(tasks[task] for task in done)))


async def _noted(settings: Settings, compute: Server) -> None:
    from workers.listening import listening  # the other services know none of its tables

    await listening(settings, compute)


def run(settings: Settings, services: list[str]) -> None:
    import uvloop

    tracing.setup("api-" + "+".join(services), settings)
    uvloop.run(serve(settings, services))
