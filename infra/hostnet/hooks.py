"""Maps that programs and their makers share, and programs at the hooks of an interface that need no file and no clsact.

What is attached lives as long as its interface, and a map as long as a program that uses it. Source: bpf(2), the
kernel's uapi header bpf.h (the "tcx" hooks, from Linux 6.6 on)."""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from infra.hostnet.bpf import call_kernel, told_of

MAP_CREATE, LOOKUP, UPDATE, DELETE, NEXT_KEY, ATTACH, DETACH = 0, 1, 2, 3, 4, 8, 9
PROGRAM_BY_ID, MAP_BY_ID, QUERY = 13, 14, 16
HASH, ARRAY, LRU_HASH = 1, 2, 9
MOST = 64
"""Programs at one hook, as the kernel has it."""


class Hook(IntEnum):
    """What comes in by an interface, and what leaves by it."""

    INGRESS = 46
    EGRESS = 47


class Held:
    """A descriptor that is closed with the object."""

    def __init__(self, descriptor: int) -> None:
        self.fd = descriptor

    def __del__(self) -> None:
        os.close(self.fd)

    @classmethod
    def program(cls, number: int) -> "Held":
        return cls(call_kernel(PROGRAM_BY_ID, struct.pack("<I", number)))

    @cached_property
    def id(self) -> int:
        return int(struct.unpack_from("<I", told_of(self.fd), 4)[0])


class Map(Held):
    """Keys and values are octets of fixed length."""

    @classmethod
    def make(cls, kind: int, key: int, value: int, size: int, name: str) -> "Map":
        attributes = struct.pack("<IIIIIII16s", kind, key, value, size, 0, 0, 0, name.encode())
        made = cls(call_kernel(MAP_CREATE, attributes))
        made.sizes = key, value
        return made

    @classmethod
    def of_id(cls, number: int) -> "Map":
        return cls(call_kernel(MAP_BY_ID, struct.pack("<I", number)))

    @cached_property
    def sizes(self) -> tuple[int, int]:
        key, value = struct.unpack_from("<II", told_of(self.fd), 8)
        return key, value

    @cached_property
    def name(self) -> str:
        return _text(told_of(self.fd)[24:40])

    def put(self, key: bytes, value: bytes) -> None:
        self._element(UPDATE, key, value)

    def drop(self, key: bytes) -> None:
        """Absent is success."""
        try:
            self._element(DELETE, key, b"")
        except FileNotFoundError:
            return

    def get(self, key: bytes) -> bytes:
        room = ctypes.create_string_buffer(self.sizes[1])
        self._element(LOOKUP, key, room)
        return room.raw

    def keys(self) -> Iterator[bytes]:
        room, before = ctypes.create_string_buffer(self.sizes[0]), b""
        while True:
            try:
                self._element(NEXT_KEY, before, room)
            except FileNotFoundError:
                return
            before = room.raw
            yield before

    def fill(self, wanted: dict[bytes, bytes]) -> bool:
        """Exactly these; whether anything was otherwise."""
        present = {key: self.get(key) for key in list(self.keys())}
        for key in present.keys() - wanted.keys():
            self.drop(key)
        for key, value in wanted.items():
            if present.get(key) != value:
                self.put(key, value)
        return present != wanted

    def _element(self, command: int, key: bytes, value: "bytes | ctypes.Array[ctypes.c_char]") -> None:
        held = [ctypes.create_string_buffer(one, len(one)) if isinstance(one, bytes) else one for one in (key, value)]
        places = [ctypes.addressof(one) if len(one) else 0 for one in held]
        call_kernel(command, struct.pack("<IIQQQ", self.fd, 0, *places, 0))


@dataclass(frozen=True)
class Attached:
    """A program at a hook: its number, name and the numbers of its maps."""

    id: int
    name: str
    maps: tuple[int, ...]


def attach(index: int, hook: Hook, program: Held) -> None:
    """In the calling thread's namespace, as are all of these. Twice is an error (EEXIST)."""
    call_kernel(ATTACH, struct.pack("<IIIIIIQ", index, program.fd, hook, 0, 0, 0, 0))


def detach(index: int, hook: Hook, number: int) -> None:
    """Absent is success, and so is an interface that went away."""
    try:
        held = Held.program(number)
        call_kernel(DETACH, struct.pack("<IIIIIIQ", index, held.fd, hook, 0, 0, 0, 0))
    except OSError:
        if any(one.id == number for one in attached(index, hook)):
            raise


def attached(index: int, hook: Hook) -> list[Attached]:
    """Of an interface that went away: nothing. OSError (EINVAL) when the kernel has no such hooks."""
    room = (ctypes.c_uint32 * MOST)()
    asked = struct.pack("<IIIIQIIQQQQ", index, hook, 0, 0, ctypes.addressof(room), MOST, 0, 0, 0, 0, 0)
    answer = ctypes.create_string_buffer(asked, len(asked))
    try:
        call_kernel(QUERY, answer)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return []
        raise
    found = map(_described, room[: struct.unpack_from("<I", answer, 24)[0]])
    return [one for one in found if one]


_known: dict[int, Attached] = {}


def _described(number: int) -> Attached | None:
    """None when it went away meanwhile. No later program has its number until two billion others were loaded."""
    if number not in _known:
        try:
            held = Held.program(number)
        except FileNotFoundError:
            return None
        maps = (ctypes.c_uint32 * MOST)()
        told = told_of(held.fd, bytes(48) + struct.pack("<IIQ", 0, MOST, ctypes.addressof(maps)))
        count = struct.unpack_from("<I", told, 52)[0]
        _known[number] = Attached(number, _text(told[64:80]), tuple(maps[:count]))
    return _known[number]


def _text(octets: bytes) -> str:
    return octets.partition(b"\0")[0].decode()
