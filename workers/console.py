"""The console proxy: noVNC's pages and, behind one-time tokens, WebSockets to guests' screens (websockify)."""

import errno
import os
import signal
import socket
import ssl
import stat
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockify.token_plugins import BasePlugin
from websockify.websocketproxy import LibProxyServer, ProxyRequestHandler

from infra import logs
from infra.host.services.rest import Service
from infra.openstack import COMPUTE, service_session
from infra.settings import Settings
from workers import console_bounds as bounds
from workers.sign_in import as_service

NOVNC = "/usr/share/novnc"
UNIX = "unix_socket"
PING_S, HANDSHAKE_S = 30, 10.0
log = logs.get(__name__)


class ConsoleTokens(BasePlugin):  # type: ignore[misc]
    """Asks the compute API where a token leads; asking uses it up."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("")
        session = service_session(settings)
        self._api = Service(session, COMPUTE, "/v2.1", settings.region)

    def lookup(self, token: str) -> tuple[str, str] | None:
        """(host, port), ("unix_socket", path), or None for a token that is unknown, used or expired."""
        answer = self._api.ask("POST", "/kilonova/consoles", 200, 400, 404, json={"token": token})
        if answer.status_code != 200:
            return None
        found = answer.json()["console"]
        log.info("console opened", instance_id=found["instance_id"])
        host, _, port = found["target"].partition(":") if found["target"].startswith(UNIX) else _split(found["target"])
        return host, port


def _split(target: str) -> tuple[str, str, str]:
    return target.rpartition(":")


class ConsoleHandler(ProxyRequestHandler):  # type: ignore[misc]
    """One connection. It is given no target before its token was accepted, and never logs its path."""

    def setup(self) -> None:
        super().setup()
        self.rfile: bounds.Head = bounds.Head(self.rfile, self.connection)

    def handle_one_request(self) -> None:
        self.rfile.begin()
        try:
            super().handle_one_request()
        finally:
            self.rfile.end()

    def parse_request(self) -> bool:
        complete: bool = super().parse_request()
        self.rfile.end()
        return complete

    def handle_upgrade(self) -> None:
        try:
            target = self._target()
        except Exception as error:
            log.warning("console token not checked", error=type(error).__name__)
            return self._refuse(503)
        if target is None:
            return self._refuse(403)
        try:
            with self.server.seats.viewer(target):
                self._show(target)
        except bounds.Full:
            log.warning("a screen has as many viewers as it may")
            self._refuse(503)

    def _show(self, target: tuple[str, str]) -> None:
        try:
            self._screen = _connect(*target)
        except OSError as error:
            log.warning("screen not reachable", error=str(error))
            return self._refuse(502)
        try:
            super().handle_upgrade()
        finally:
            self._screen.close()

    def do_GET(self) -> None:
        """Nova's URL means a page that connects by itself; noVNC 1.x has to be told so."""
        asked = urlsplit(self.path)
        if asked.path == "/vnc_auto.html" and "autoconnect" not in parse_qs(asked.query):
            self.send_response(302)
            self.send_header("Location", f"/vnc_auto.html?autoconnect=true&{asked.query}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            super().do_GET()

    def new_websocket_client(self) -> None:
        self.request.setsockopt(socket.SOL_TCP, socket.TCP_NODELAY, 1)
        self.request.setsockopt(socket.SOL_TCP, socket.TCP_USER_TIMEOUT, bounds.UNHEARD_MS)
        self.do_proxy(self._screen)

    def _target(self) -> tuple[str, str] | None:
        """Of a request from our own pages with a good token."""
        origin = self.headers.get("Origin")
        if origin and urlsplit(origin).netloc.lower() != self.headers.get("Host", "").lower():
            return None
        token = parse_qs(urlsplit(self.path).query).get("token", [""])[0]
        tokens: ConsoleTokens = self.server.tokens
        return tokens.lookup(token) if token else None

    def _refuse(self, status: int) -> None:
        self.close_connection = True
        self.send_error(status)

    def log_message(self, format: str, *args: Any) -> None:
        """Paths carry tokens."""


def _connect(host: str, port: str) -> socket.socket:
    if host != UNIX:
        return socket.create_connection((host, int(port)), timeout=10)
    return _screen_socket(port)


def _screen_socket(path: str) -> socket.socket:
    """Connected to the socket at `path` itself. It lies where QEMU may put what it likes: a link there would lead root
    to any socket of this machine."""
    found = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(found).st_mode):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "not a socket")
        screen = socket.socket(socket.AF_UNIX)
        screen.connect(f"/proc/self/fd/{found}")
        return screen
    finally:
        os.close(found)


def _context(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_files is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*settings.tls_files)
    return context


class ConsoleServer(LibProxyServer):  # type: ignore[misc]
    """A thread per connection; files only, never a directory's listing."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, settings: Settings, tokens: ConsoleTokens) -> None:
        self.tokens, self.file_only, self.seats = tokens, True, bounds.Seats()
        self._tls = _context(settings)
        super().__init__(
            ConsoleHandler,
            listen_host=settings.listen,
            listen_port=settings.port("console"),
            web=NOVNC if os.path.isdir(NOVNC) else "",  # noqa: PTH112 - as websockify takes it
            heartbeat=PING_S,
        )

    def get_request(self) -> tuple[socket.socket, Any]:
        """TLS, where it is asked for, is shaken hands on in the connection's own thread."""
        plain, address = super().get_request()
        if self._tls is None:
            return plain, address
        return self._tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), address

    def process_request(self, request: Any, client_address: Any) -> None:
        if self.seats.enter():
            super().process_request(request, client_address)
        else:
            log.warning("no room for a connection", client=str(client_address))
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.seats.leave()

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self._tls is not None:
            request.settimeout(HANDSHAKE_S)
            request.do_handshake()
            request.settimeout(None)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no error of ours."""
        log.debug("connection ended", client=str(client_address), exc_info=True)


def run_console(settings: Settings) -> None:
    """Serve on `settings.listen` and the console port until SIGTERM or SIGINT."""
    logs.setup("console", settings.log_level)
    server = ConsoleServer(settings, ConsoleTokens(as_service(settings, "nova")))
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: threading.Thread(target=server.shutdown).start())
    log.info("ready", port=settings.port("console"))
    server.serve_forever()
    server.server_close()
