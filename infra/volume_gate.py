"""The process that stands between guests and the storage daemon: a door for each attachment, which leads to its export
and to nothing else.

On one machine a door is a UNIX socket in a directory whose group is that of the guest. Hosts of other machines come by
TLS: a certificate names the host, and each of its attachments is a door. The volume service says by a control socket
which doors there are; the gate remembers none, and may be killed at any time. It begins as root, to open what only root
may, and goes on as a user that comes to the daemon's socket and to no file of the state directory."""

import asyncio
import ctypes
import json
import os
import resource
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from infra.nbd_options import Peer, Refused, greet, greeted, negotiate, until_tls

PATIENCE_S = 10.0
CONNECTIONS, ALL_BY_TLS = 16, 4096
"""Through one door, of which QEMU needs one for its disk, and another one while it copies; and by TLS in all."""
CHUNK = 1 << 18
PR_SET_NO_NEW_PRIVS = 38
ENDS = (Refused, OSError, EOFError, TimeoutError, ssl.SSLError)


Leads = Callable[[bytes], "Door | Literal[False] | None"]
"""From an export's name to the door that leads there, for this client."""


@dataclass
class Door:
    export: bytes
    host: str
    server: asyncio.Server | None = None
    present: int = 0
    ways: set["asyncio.Task[None]"] = field(default_factory=set)


class Gate:
    """`place` holds the doors' directories, which others make; `upstream` is the storage daemon's socket."""

    def __init__(self, place: Path, upstream: Path, tls: ssl.SSLContext | None) -> None:
        self._place, self._upstream, self._tls = place, str(upstream), tls
        self._doors: dict[str, Door] = {}
        self._all = Door(b"", "")

    async def open(self, id: str, export: str, host: str) -> None:
        """A door that leads elsewhere by now lets nobody through who came in before."""
        wanted = (export.encode(), host)
        if (known := self._doors.get(id)) is not None:
            if (known.export, known.host) == wanted and (known.server is None or self._socket(id).exists()):
                return
            self.close(id)
        door = Door(*wanted)
        if self._tls is None:
            path = self._socket(id)
            door.server = await asyncio.start_unix_server(self._through(id, door), path, limit=CHUNK)
            path.chmod(0o666)  # its directory decides who comes to it
        self._doors[id] = door

    def close(self, id: str) -> None:
        if (door := self._doors.pop(id, None)) is None:
            return
        if door.server is not None:
            door.server.close()
            self._socket(id).unlink(missing_ok=True)
        for way in door.ways:
            way.cancel()

    def names(self) -> dict[str, list[str]]:
        return {id: [door.export.decode(), door.host] for id, door in self._doors.items()}

    def _socket(self, id: str) -> Path:
        return self._place / id / "socket"

    def _through(self, id: str, door: Door) -> Callable[..., Any]:
        """Of one door's own socket."""

        async def come(*client: Any) -> None:
            async def work() -> None:
                async with asyncio.timeout(PATIENCE_S):
                    flags = await greet(client)
                await self._serve(client, flags, lambda name: self._is(id, door) and name == door.export and door)

            await _until_over(client, door, CONNECTIONS, work)

        return come

    async def by_tls(self, *client: Any) -> None:
        """A host's QEMU: the doors of the host that its certificate names."""

        async def work() -> None:
            async with asyncio.timeout(PATIENCE_S):
                flags = await greet(client)
                await until_tls(client)
                await client[1].start_tls(self._tls, ssl_handshake_timeout=PATIENCE_S)
            host = _named(client[1].get_extra_info("peercert") or {})
            await self._serve(client, flags, lambda name: self._leading(name, host))

        await _until_over(client, self._all, ALL_BY_TLS, work)

    def _is(self, id: str, door: Door) -> bool:
        return self._doors.get(id) is door

    def _leading(self, export: bytes, host: str) -> Door | None:
        """None to a certificate that names no host."""
        if not host:
            return None
        return next((door for door in self._doors.values() if (door.export, door.host) == (export, host)), None)

    async def _serve(self, client: Peer, flags: bytes, leads: Leads) -> None:
        chosen: list[Door] = []

        def admits(name: bytes) -> bool:
            chosen[:] = [door] if (door := leads(name)) else []
            return bool(chosen)

        server = await asyncio.open_unix_connection(self._upstream, limit=CHUNK)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await greeted(server, flags)
                await negotiate(client, server, admits)
            await _joined(client, server, chosen[0])
        finally:
            server[1].close()


async def _until_over(client: Peer, door: Door, most: int, work: Callable[[], Any]) -> None:
    door.present += 1
    try:
        with suppress(*ENDS):
            if door.present <= most:
                await work()
    finally:
        door.present -= 1
        client[1].close()


async def _joined(client: Peer, server: Peer, door: Door) -> None:
    """Bytes both ways, until one side ends or the door is shut."""
    ways = [asyncio.create_task(_carry(*way)) for way in ((client[0], server[1]), (server[0], client[1]))]
    door.ways.update(ways)
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        door.ways.difference_update(ways)
        for way in ways:
            way.cancel()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(*ENDS):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()


def _named(certificate: dict[str, Any]) -> str:
    """The host that a certificate is of; "" for one of somebody else."""
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return names[0].removeprefix("host-") if len(names) == 1 and names[0].startswith("host-") else ""


class Control:
    """The volume service's way in: a line of JSON each way."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(*ENDS):
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(json.loads(line))).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def _answer(self, asked: dict[str, str]) -> dict[str, Any]:
        try:
            if "open" in asked:
                await self._gate.open(asked["open"], asked["export"], asked["host"])
            elif "close" in asked:
                self._gate.close(asked["close"])
        except OSError as error:
            return {"error": f"{type(error).__name__}: {error.strerror}"}
        return {"doors": self._gate.names()} if "list" in asked else {}


def tls_context(files: Path) -> ssl.SSLContext:
    """Asks each client for a certificate of the authority, and heeds its list of revoked ones where there is one."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(files / "ca-cert.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(files / "server-cert.pem", files / "server-key.pem")
    if (revoked := files / "ca-crl.pem").exists():
        context.load_verify_locations(revoked)
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    return context


def become(user: int) -> None:
    """For good, and without a core that would tell the key."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _prepared(place: Path, user: int | None) -> Path:
    """Make the directory of doors, each of which has its own guard, and the control socket's; the latter's path."""
    control = place / "control"
    control.mkdir(parents=True, exist_ok=True)
    place.chmod(0o711)
    control.chmod(0o700)
    if user is not None:
        os.chown(control, user, user)
    return control / "socket"


async def serve(plan: dict[str, Any]) -> None:
    tls, place = plan["tls"], Path(plan["place"])
    os.umask(0o177)
    gate = Gate(place, Path(plan["upstream"]), tls_context(Path(tls["files"])) if tls else None)
    path = _prepared(place, plan["user"])
    listening = socket.create_server((tls["address"], tls["port"]), backlog=128) if tls else None
    if plan["user"] is not None:
        become(plan["user"])
    if listening is not None:
        await asyncio.start_server(gate.by_tls, sock=listening, limit=CHUNK)
    async with await asyncio.start_unix_server(Control(gate).hear, path) as control:
        await control.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
