"""The compute service's place for external events, which records what the volume service tells it."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tests.volume.images import respond


class EventServer:
    """`told`: (microversion, event). `down`: how many requests it refuses with 503 first; `busy`: and how many
    then, since their servers are busy."""

    def __init__(self, port: int) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.down = self.busy = 0
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                respond(self, 404, b"")

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if owner.down:
                    owner.down -= 1
                    respond(self, 503, b"{}")
                    return
                if owner.busy:
                    owner.busy -= 1
                    refused = [event | {"status": "failed", "code": 409} for event in body["events"]]
                    respond(self, 207, json.dumps({"events": refused}).encode())
                    return
                assert self.path.endswith("/os-server-external-events") and self.headers["X-Auth-Token"]
                owner.told += [(self.headers["OpenStack-API-Version"], event) for event in body["events"]]
                respond(self, 200, json.dumps({"events": body["events"]}).encode())

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True

    def __enter__(self) -> "EventServer":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
