"""Programs at the entrances and exits of interfaces: attached, replaced in one step, listed and taken away by netlink.

Source: rtnetlink(7), the kernel's uapi headers rtnetlink.h and pkt_cls.h. `tc` takes a program by a file only, in a
file system that need not be mounted."""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from enum import IntEnum
from functools import lru_cache

from infra.hostnet import bpf, netns
from infra.hostnet.bpf import Program
from infra.hostnet.netns import HostNetworkError

NEWQDISC, DELQDISC, GETQDISC, NEWFILTER, GETFILTER = 36, 37, 38, 44, 46
REQUEST, ACK, DUMP, REPLACE, EXCLUSIVE, CREATE = 0x1, 0x4, 0x300, 0x100, 0x200, 0x400
ERROR, DONE = 2, 3
KIND, OPTIONS = 1, 2
PROGRAM_FD, PROGRAM_NAME, PROGRAM_FLAGS, PROGRAM_TAG = 6, 7, 8, 10
DIRECT = 1
"""The program's word is the verdict."""
CLSACT, ROOT = 0xFFFFFFF1, 0xFFFF0000
PREFERENCE, EVERY_PROTOCOL, HANDLE = 1, 0x0003, 1
PLACE = PREFERENCE << 16 | socket.htons(EVERY_PROTOCOL)
TCMSG = "=BxxxiIII"


class Hook(IntEnum):
    """What comes in by an interface, and what leaves by it."""

    INGRESS = 0xFFFFFFF2
    EGRESS = 0xFFFFFFF3


Found = Mapping[Hook, list[str]]
"""Tags of the filters that are attached, '' for a filter that is not one of ours."""


class _Netlink:
    """One conversation with the kernel in the calling thread's namespace."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.bind((0, 0))
        self._number = 0

    def __enter__(self) -> "_Netlink":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, kind: int, flags: int, body: bytes) -> list[bytes]:
        """Bodies of the answers. OSError with what the kernel says."""
        self._number += 1
        head = struct.pack("=IHHII", 16 + len(body), kind, REQUEST | flags, self._number, 0)
        self._socket.send(head + body)
        found: list[bytes] = []
        while True:
            data = self._socket.recv(1 << 18)
            for answered, said in _messages(data, self._number):
                if answered == DONE:
                    return found
                if answered == ERROR:
                    code = -struct.unpack_from("=i", said)[0]
                    if code:
                        raise OSError(code, os.strerror(code))
                    return found
                found.append(said)


def _messages(data: bytes, number: int) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 16 <= len(data):
        length, kind, _flags, sequence, _ = struct.unpack_from("=IHHII", data, at)
        if sequence == number:
            yield kind, data[at + 16 : at + length]
        at += (length + 3) & ~3


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _attributes(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += max(4, (length + 3) & ~3)
    return found


def attach(namespace: str, index: int, hook: Hook, program: Program) -> None:
    """Make it the one that our filter of the interface asks, in one step. HostNetworkError when it cannot be had."""
    held = bpf.load(program)
    options = _attribute(PROGRAM_FD, struct.pack("=I", held)) + _attribute(PROGRAM_NAME, program.name.encode() + b"\0")
    options += _attribute(PROGRAM_FLAGS, struct.pack("=I", DIRECT))
    told = _attribute(KIND, b"bpf\0") + _attribute(OPTIONS, options)

    def work() -> None:
        with _Netlink() as kernel:
            with _unless(errno.EEXIST):
                clsact = struct.pack(TCMSG, 0, index, ROOT, CLSACT, 0) + _attribute(KIND, b"clsact\0")
                kernel.ask(NEWQDISC, ACK | CREATE | EXCLUSIVE, clsact)
            kernel.ask(NEWFILTER, ACK | CREATE | REPLACE, struct.pack(TCMSG, 0, index, HANDLE, hook, PLACE) + told)

    try:
        netns.call(namespace, work)
    except OSError as error:
        raise HostNetworkError(f"program {program.name} at interface {index}: {error.strerror}") from error
    finally:
        os.close(held)


@contextlib.contextmanager
def _unless(*codes: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in codes:
            raise


def attached(namespace: str, indexes: list[int]) -> dict[int, Found]:
    """What hangs on each of the interfaces; one that went away has nothing."""

    def work() -> dict[int, Found]:
        with _Netlink() as kernel:
            return {index: {hook: _tags(kernel, index, hook) for hook in Hook} for index in indexes}

    return netns.call(namespace, work) if indexes else {}


def _tags(kernel: _Netlink, index: int, hook: Hook) -> list[str]:
    found: list[str] = []
    with _unless(errno.ENODEV, errno.EINVAL, errno.ENOENT):
        for said in kernel.ask(GETFILTER, DUMP, struct.pack(TCMSG, 0, index, 0, hook, 0)):
            handle = struct.unpack_from(TCMSG, said)[2]
            if handle:  # without one it is the head of a list
                options = _attributes(_attributes(said[20:]).get(OPTIONS, b""))
                place = struct.unpack_from(TCMSG, said)[4]
                ours = (handle, place) == (HANDLE, PLACE)
                found.append(options.get(PROGRAM_TAG, b"").hex() if ours else "")
    return found


def holders(namespace: str) -> set[int]:
    """Indexes of the interfaces at which programs can hang."""

    def work() -> set[int]:
        with _Netlink() as kernel:
            found = kernel.ask(GETQDISC, DUMP, struct.pack(TCMSG, 0, 0, 0, 0, 0))
            return {
                struct.unpack_from(TCMSG, said)[1] for said in found if _attributes(said[20:]).get(KIND) == b"clsact\0"
            }

    return netns.call(namespace, work)


@lru_cache(maxsize=8)
def unable(program: Program) -> str:
    """Why this host has no such programs; '' where it has one: it was tried, in a namespace that nobody else knows."""

    def work() -> None:
        index = socket.if_nametoindex("lo")
        for hook in Hook:
            attach("", index, hook, program)
        found = attached("", [index])[index]
        if found != {hook: [bpf.tag(program)] for hook in Hook}:
            raise HostNetworkError(f"what was attached is not there: {found}")

    try:
        netns.call_in_new(work)
    except (HostNetworkError, OSError) as error:
        return str(error)
    return ""


def clear(namespace: str, index: int) -> None:
    """Take away every program of the interface; absent is success."""

    def work() -> None:
        with _Netlink() as kernel, _unless(errno.ENODEV, errno.EINVAL, errno.ENOENT):
            kernel.ask(DELQDISC, ACK, struct.pack(TCMSG, 0, index, ROOT, CLSACT, 0))

    try:
        netns.call(namespace, work)
    except OSError as error:
        raise HostNetworkError(f"programs at interface {index}: {error.strerror}") from error
