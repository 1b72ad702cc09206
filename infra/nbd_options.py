"""What an NBD client may ask of the storage daemon before it reads or writes: exports that are its own, by their names.

Source: the NBD protocol (NetworkBlockDevice/nbd, doc/proto.md), "Newstyle negotiation"."""

import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable

MAGIC, OPTS_MAGIC = b"NBDMAGIC", b"IHAVEOPT"
REPLY_MAGIC = 0x3E889045565A9
GREETING = struct.Struct(">8s8sH")
FLAGS = struct.Struct(">I")
OPTION = struct.Struct(">8sII")
REPLY = struct.Struct(">QIII")
FIXED_NEWSTYLE_NO_ZEROES = 3
EXPORT_NAME, ABORT, LIST, STARTTLS, INFO, GO, STRUCTURED_REPLY, LIST_META_CONTEXT, SET_META_CONTEXT = (
    *range(1, 4),
    *range(5, 11),
)
NAMED = (INFO, GO, LIST_META_CONTEXT, SET_META_CONTEXT)
ACK, ERROR, ERR_UNSUP, ERR_TLS_REQD, ERR_UNKNOWN = 1, 1 << 31, (1 << 31) + 1, (1 << 31) + 5, (1 << 31) + 6
MAX_DATA = 1 << 16

Peer = tuple[StreamReader, StreamWriter]


class Refused(Exception):
    """The connection is to be ended: its client speaks another protocol, or wants what cannot be answered with no."""


async def greet(client: Peer) -> bytes:
    """The client's flags, after what a server says first."""
    client[1].write(GREETING.pack(MAGIC, OPTS_MAGIC, FIXED_NEWSTYLE_NO_ZEROES))
    return await client[0].readexactly(FLAGS.size)


async def greeted(server: Peer, flags: bytes) -> None:
    """Begin with the storage daemon as the client began with us."""
    magic, opts, _ = GREETING.unpack(await server[0].readexactly(GREETING.size))
    if (magic, opts) != (MAGIC, OPTS_MAGIC):
        raise Refused("the storage daemon speaks another protocol")
    server[1].write(flags)


async def until_tls(client: Peer) -> None:
    """Refuse every option but the one that begins TLS, which is agreed to: the handshake is next."""
    while True:
        option, _ = await _option(client[0])
        if option == STARTTLS:
            await _answer(client[1], option, ACK)
            return
        if option in (ABORT, EXPORT_NAME):
            raise Refused("nothing is told without TLS")
        await _answer(client[1], option, ERR_TLS_REQD)


async def negotiate(client: Peer, server: Peer, admits: Callable[[bytes], bool]) -> None:
    """Carry options and answers to and fro until the client has opened an export that `admits` its name; what comes
    next is reads and writes. A list of exports has no entries, whoever asks. Refused when it ends before that."""
    while True:
        option, data = await _option(client[0])
        if option == LIST:
            await _answer(client[1], option, ACK)
        elif option == EXPORT_NAME:  # which knows no answer: the export, or the end
            if not admits(data):
                raise Refused("no such export")
            _carry(server[1], option, data)
            return
        elif option in NAMED and not admits(_name(data)):
            await _answer(client[1], option, ERR_UNKNOWN)
        elif option in (ABORT, STRUCTURED_REPLY, *NAMED):
            _carry(server[1], option, data)
            if await _answers(server[0], client[1]) == ACK and option == GO:
                return
            if option == ABORT:
                raise Refused("the client ended it")
        else:
            await _answer(client[1], option, ERR_UNSUP)


async def _option(client: StreamReader) -> tuple[int, bytes]:
    magic, option, length = OPTION.unpack(await client.readexactly(OPTION.size))
    if magic != OPTS_MAGIC or length > MAX_DATA:
        raise Refused("not an option")
    return option, await client.readexactly(length)


def _name(data: bytes) -> bytes:
    length = int.from_bytes(data[:4])
    return data[4 : 4 + length] if len(data) >= 4 + length else b""


def _carry(server: StreamWriter, option: int, data: bytes) -> None:
    server.write(OPTION.pack(OPTS_MAGIC, option, len(data)) + data)


async def _answer(client: StreamWriter, option: int, kind: int) -> None:
    client.write(REPLY.pack(REPLY_MAGIC, option, kind, 0))
    await client.drain()


async def _answers(server: StreamReader, client: StreamWriter) -> int:
    """Pass on what the daemon answers to one option; the kind of its last answer."""
    while True:
        head = await server.readexactly(REPLY.size)
        magic, _, kind, length = REPLY.unpack(head)
        if magic != REPLY_MAGIC or length > MAX_DATA:
            raise Refused("the storage daemon speaks another protocol")
        client.write(head + await server.readexactly(length))
        await client.drain()
        if kind == ACK or kind & ERROR:
            return int(kind)
