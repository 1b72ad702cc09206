"""Makes TCP services of the machine answer under the same address inside a network namespace.

`python -m infra.hostnet.forward --netns NS 127.0.0.1:5000 127.0.0.1:8774 …` listens inside NS and connects outside.
A small process of its own: standard library only, so that it stays small.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys

from infra.hostnet import netns

CHUNK = 65536
CHECK_S = 0.5
Listener = tuple[socket.socket, tuple[str, int]]


def parse(text: str) -> tuple[str, int]:
    """('127.0.0.1', 5000) from '127.0.0.1:5000'; ValueError otherwise."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"not ADDRESS:PORT: {text!r}")
    return host.strip("[]"), int(port)


def listen(namespace: str, targets: list[tuple[str, int]]) -> list[Listener]:
    """Listening sockets inside `namespace`, one a target. OSError, and no socket left open, if any cannot be had."""
    opened: list[Listener] = []
    try:
        with netns.entered(namespace):
            for target in targets:
                family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
                opened.append((socket.socket(family, socket.SOCK_STREAM), target))
                opened[-1][0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                opened[-1][0].bind(target)
                opened[-1][0].listen(128)
    except OSError:
        for opening, _ in opened:
            opening.close()
        raise
    return opened


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until end of file, no faster than the receiver takes it, then pass the end on."""
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: tuple[str, int]) -> None:
    """Serve one connection; an error on either side resets both."""
    other: asyncio.StreamWriter | None = None
    pumps: list[asyncio.Task[None]] = []
    try:
        back, other = await asyncio.open_connection(*target, limit=CHUNK)
        pumps = [asyncio.create_task(pump(reader, other)), asyncio.create_task(pump(back, writer))]
        await asyncio.gather(*pumps)
        writer.close()
        other.close()
    except OSError:
        reset(writer)
        if other:
            reset(other)
    finally:
        for task in pumps:
            task.cancel()
        writer.close()
        if other:
            other.close()


async def serve(listeners: list[Listener]) -> list[asyncio.Server]:
    servers = []
    for opened, target in listeners:

        async def one(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: tuple[str, int] = target
        ) -> None:
            await forward(reader, writer, target)

        servers.append(await asyncio.start_server(one, sock=opened, limit=CHUNK))
    return servers


async def run(namespace: str, targets: list[tuple[str, int]]) -> None:
    """Forward for ever; waits while the namespace or an address is absent, and follows a namespace made anew."""
    servers: list[asyncio.Server] = []
    current = said = ""
    while True:
        identity, news = netns.identity(namespace), said
        if identity != current:
            for server in servers:
                server.close()
            servers, current = [], ""
        if not identity:
            news = f"waiting for network namespace {namespace}"
        elif not current:
            try:
                servers = await serve(listen(namespace, targets))
                current, news = identity, f"listening in network namespace {namespace}"
            except OSError as error:
                news = f"cannot listen in network namespace {namespace}: {error}"
        if news != said:
            print(news, file=sys.stderr, flush=True)
        said = news
        await asyncio.sleep(CHECK_S)


async def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="infra.hostnet.forward", description=__doc__)
    parser.add_argument("--netns", required=True, action="append", help="repeat it for more")
    parser.add_argument("targets", nargs="+", type=parse, metavar="ADDRESS:PORT")
    options = parser.parse_args(arguments)
    task = asyncio.gather(*(run(namespace, options.targets) for namespace in options.netns))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    os._exit(0)  # open connections end with the process


if __name__ == "__main__":
    asyncio.run(main())
