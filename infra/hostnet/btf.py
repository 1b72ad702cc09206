"""What the running kernel says of its own types: where a field lies, and the number of a function that programs call.

Source: the kernel's Documentation/bpf/btf.rst."""

import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from infra.hostnet.netns import HostNetworkError

KERNEL = Path("/sys/kernel/btf/vmlinux")
STRUCT, UNION, FUNCTION = 4, 5, 12
AFTER = {
    1: (4, 0),
    3: (12, 0),
    14: (4, 0),
    17: (4, 0),
    4: (0, 12),
    5: (0, 12),
    6: (0, 8),
    13: (0, 8),
    15: (0, 12),
    19: (0, 12),
}
"""By kind: octets behind a type's head, once and for each of its members."""


class Types:
    """The types by number, of which few are asked for."""

    def __init__(self, data: bytes) -> None:
        head, types, length, names = struct.unpack_from("<IIII", data, 4)
        self._data, self._names = data, head + names
        self._heads = list(self._walk(head + types, head + types + length))

    def _walk(self, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Place, name, kind, number of members."""
        heads = struct.Struct("<III")
        while at < end:
            name, info, _ = heads.unpack_from(self._data, at)
            kind, members = info >> 24 & 31, info & 0xFFFF
            yield at, name, kind, members
            once, each = AFTER.get(kind, (0, 0))
            at += 12 + once + each * members

    def _name(self, offset: int) -> str:
        begin = self._names + offset
        return self._data[begin : self._data.index(b"\0", begin)].decode()

    def _named(self, name: str, *kinds: int) -> int:
        wanted = name.encode() + b"\0"
        for number, (_, offset, kind, _) in enumerate(self._heads, 1):
            begin = self._names + offset
            if kind in kinds and self._data.startswith(wanted, begin):
                return number
        raise HostNetworkError(f"the kernel has no {name}")

    def function(self, name: str) -> int:
        return self._named(name, FUNCTION)

    def size(self, name: str) -> int:
        return int(struct.unpack_from("<I", self._data, self._heads[self._named(name, STRUCT) - 1][0] + 8)[0])

    def offset(self, name: str, *path: str) -> int:
        """Octets from the beginning of the struct `name` to its field, and to that one's, and so on."""
        return self._offset(self._named(name, STRUCT), path)

    def _offset(self, number: int, path: tuple[str, ...]) -> int:
        place, _, kind, members = self._heads[number - 1]
        for member in range(members if kind in (STRUCT, UNION) else 0):
            name, inner, bits = struct.unpack_from("<III", self._data, place + 12 + 12 * member)
            if self._name(name) == path[0]:
                return int(bits) // 8 + (self._offset(inner, path[1:]) if path[1:] else 0)
        raise HostNetworkError(f"the kernel's type has no field {path[0]}")


@lru_cache(maxsize=1)
def kernel() -> Types:
    """HostNetworkError where the kernel does not tell. Reading it takes a fifth of a second."""
    try:
        return Types(KERNEL.read_bytes())
    except OSError as error:
        raise HostNetworkError(f"{KERNEL}: {error.strerror}") from error
