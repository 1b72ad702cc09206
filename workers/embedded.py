"""Keystone or Glance in this process: python -m workers.embedded keystone|glance FOLDER HOST PORT [CERTIFICATE KEY].

FOLDER holds the service's configuration (infra.bootstrap). The store is brought up to date before it serves: importing
either service costs seconds, so that one process does both."""

import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from infra import http_bounds, lean
from infra.embedded.bridge import Bridge
from infra.embedded.guessing import LateAnswers
from workers.connections import Bounded, connections_of, raise_open_files
from workers.settle import begin, settle

GRACE_S = 5


@dataclass(frozen=True)
class Pools:
    """Requests answered at once, and beside them requests that send a large body."""

    requests: int
    transfers: int


POOLS = {"keystone": Pools(8, 2), "glance": Pools(8, 8)}


def main(
    service: str, folder: str, host: str, port: str, certificate: str | None = None, key: str | None = None
) -> None:
    begin()
    os.umask(0o077)  # password hashes, images
    raise_open_files()
    lean.leave_out("pygments")  # with which Alembic's templates would colour their errors; 5 MiB
    app = importlib.import_module(f"infra.embedded.{service}").prepare(Path(folder))
    pools = POOLS[service]
    settle()
    bridge = Bridge(app, pools.requests, pools.transfers)
    uvicorn.run(
        _traced(LateAnswers(bridge) if service == "keystone" else bridge, service),
        host=host,
        port=int(port),
        http=type("Connection", (Bounded,), {"most": connections_of(1)}),
        ssl_certfile=certificate,
        ssl_keyfile=key,
        ws="none",
        loop="uvloop",
        lifespan="off",
        proxy_headers=False,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=int(http_bounds.IDLE_S),
        backlog=1024,
    )


def _traced(app: Any, service: str) -> Any:
    if not os.environ.get("KILONOVA_OTLP_ENDPOINT"):
        return app  # without what our settings import, which is 20 MiB
    from infra import tracing
    from infra.settings import Settings

    tracing.setup(service, Settings())
    return tracing.traced(app, service)


if __name__ == "__main__":
    main(*sys.argv[1:7])
