"""169.254.169.254: listens in every network's and router's namespace, and tells each guest what it may know of itself.

Who asks is decided by the namespace that the connection came in by and its source address, which the filters at the
taps vouch for; no header counts. One task for all namespaces of the host."""

import asyncio
import contextlib
import socket
import time
from typing import Any

from keystoneauth1.session import Session

from infra import logs
from infra.host.files.vendor_data import documents
from infra.host.network.metadata_tree import Answer, answer, is_password
from infra.host.services.rest import Service
from infra.openstack import COMPUTE
from infra.settings import Settings

ADDRESS, PORT = "169.254.169.254", 80
LOOK_S, PATIENCE_S, CACHE_S = 1.0, 10.0, 5.0
HEAD, CONNECTIONS, ASKING = 8192, 256, 4
PASSWORD = 1024  # bytes, as Nova has it
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}
REASONS |= {409: "Conflict", 503: "Service Unavailable"}
log = logs.get(__name__)


class MetadataServer:
    """`run` until cancelled."""

    def __init__(self, settings: Settings, session: Session) -> None:
        from infra.hostnet.store import Store

        self._api = Service(session, COMPUTE, "/v2.1", settings.region)
        self._vendor_data = settings.vendor_data_file
        self._path = f"/kilonova/hosts/{settings.host}/metadata"
        self._prefixes = dict(zip(("network_id", "router_id"), Store(settings).space_prefixes, strict=True))
        self._servers: dict[str, tuple[str, asyncio.Server]] = {}
        self._known: dict[tuple[str, str], tuple[float, dict[str, Any] | None]] = {}
        self._asking, self._open = asyncio.Semaphore(ASKING), 0

    async def run(self) -> None:
        try:
            while True:
                await self._follow()
                await asyncio.sleep(LOOK_S)
        finally:
            for _, server in self._servers.values():
                server.close()

    async def _follow(self) -> None:
        """Listen in the namespaces that there are, once in each."""
        from infra.hostnet import netns

        names = [name for name in netns.names() if name.startswith(tuple(self._prefixes.values()))]
        for name in self._servers.keys() - set(names):
            self._servers.pop(name)[1].close()
        for name in names:
            identity = netns.identity(name)
            if name in self._servers and self._servers[name][0] == identity:
                continue
            with contextlib.suppress(OSError):  # the address is not there yet
                listening = await asyncio.to_thread(netns.call, name, _listen)
                if name in self._servers:
                    self._servers.pop(name)[1].close()
                server = await asyncio.start_server(self._serving(name), sock=listening, limit=HEAD)
                self._servers[name] = (identity, server)

    def _serving(self, name: str) -> Any:
        kind, prefix = next((k, p) for k, p in self._prefixes.items() if name.startswith(p))

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._open += 1
            try:
                if self._open <= CONNECTIONS:
                    async with asyncio.timeout(PATIENCE_S):
                        address = writer.get_extra_info("peername")[0]
                        writer.write(_rendered(await self._answer(reader, kind, name.removeprefix(prefix), address)))
                        await writer.drain()
            except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                pass
            finally:
                self._open -= 1
                writer.close()

        return serve

    async def _answer(self, reader: asyncio.StreamReader, kind: str, identifier: str, address: str) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        words = head.split("\r\n", 1)[0].split(" ")
        if len(words) != 3 or not words[1].startswith("/"):
            return Answer(400)
        told = words[0] == "POST" and is_password(words[1])
        if words[0] not in ("GET", "HEAD") and not told:
            return Answer(405)
        try:
            if told:
                return await self._tell_password(reader, head, {kind: identifier, "address": address})
            document = await self._document(kind, identifier, address)
        except Exception as error:
            log.warning("metadata could not be asked for", reason=f"{type(error).__name__}: {error}")
            return Answer(503)
        return Answer(404) if document is None else answer(document, words[1], documents(self._vendor_data))

    async def _tell_password(self, reader: asyncio.StreamReader, head: str, where: dict[str, str]) -> Answer:
        """Pass on what the guest encrypted for its owner. 400 for nothing and for too much; 409 once told."""
        fields = dict(line.lower().split(":", 1) for line in head.split("\r\n")[1:] if ":" in line)
        length = fields.get("content-length", "").strip()
        if not length.isdecimal() or not 0 < int(length) <= PASSWORD:
            return Answer(400)
        body = {"text": (await reader.readexactly(int(length))).decode("latin-1")}
        async with self._asking:
            path = f"{self._path}/password"
            found = await asyncio.to_thread(self._api.ask, "POST", path, 204, 400, 404, 409, params=where, json=body)
        self._known.pop((next(iter(where.values())), where["address"]), None)
        return Answer(200 if found.status_code == 204 else found.status_code)

    async def _document(self, kind: str, identifier: str, address: str) -> dict[str, Any] | None:
        key, now = (identifier, address), time.monotonic()
        if key in self._known and self._known[key][0] > now:
            return self._known[key][1]
        async with self._asking:
            query = {kind: identifier, "address": address}
            found = await asyncio.to_thread(self._api.ask, "GET", self._path, 200, 404, params=query)
        document = found.json() if found.status_code == 200 else None
        self._known = {k: v for k, v in self._known.items() if v[0] > now}
        self._known[key] = (now + CACHE_S, document)
        return document


def _listen() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((ADDRESS, PORT))
        opened.listen(64)
    except OSError:
        opened.close()
        raise
    return opened


def _rendered(given: Answer) -> bytes:
    head = f"HTTP/1.1 {given.status} {REASONS[given.status]}\r\nContent-Type: {given.kind}\r\n"
    return f"{head}Content-Length: {len(given.body)}\r\nConnection: close\r\n\r\n".encode() + given.body
