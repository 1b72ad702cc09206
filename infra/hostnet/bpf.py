"""Small programs in the kernel at the entrance and exit of an interface: assembled, verified, attached, told apart.

A program hangs on a filter of the interface's clsact, so it outlives the process that loaded it and goes with the
interface; nothing is pinned to a file. What is attached is known by its tag, which the kernel makes of a program's
instructions. Source: bpf(2), tc-bpf(8), the kernel's Documentation/bpf/standardization/instruction-set."""

import ctypes
import os
import platform
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from infra.hostnet.netns import HostNetworkError

PASS, DROP = 0, 2
"""TC_ACT_OK and TC_ACT_SHOT. A program that redirects returns what the helper did."""
CALLS = {"x86_64": 321, "aarch64": 280, "ppc64le": 361, "s390x": 351, "riscv64": 280}
PROG_LOAD, OBJ_GET_INFO = 5, 15
SCHED_CLS = 3
LICENCE = b"Apache-2.0\0"
LOG_SIZE, INFO_SIZE = 65536, 256
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Program:
    """`name`: at most 15 letters, digits, '_' and '.', for people. Some of the kernel's functions ask for a `licence`
    that suits its own."""

    name: str
    instructions: bytes
    licence: bytes = LICENCE


@dataclass(frozen=True)
class Instruction:
    """One of the machine's; `target` is the label that a jump leads to, `label` its own name."""

    code: int
    to: int = 0
    source: int = 0
    offset: int = 0
    value: int = 0
    target: str = ""
    label: str = ""

    def named(self, label: str) -> "Instruction":
        return Instruction(self.code, self.to, self.source, self.offset, self.value, self.target, label)


def load_word(to: int, source: int, offset: int) -> Instruction:
    """to = *(u32 *)(source + offset)"""
    return Instruction(0x61, to, source, offset)


def store_word(to: int, offset: int, source: int) -> Instruction:
    """*(u32 *)(to + offset) = source"""
    return Instruction(0x63, to, source, offset)


def copy(to: int, source: int) -> Instruction:
    return Instruction(0xBF, to, source)


def put(to: int, value: int) -> Instruction:
    return Instruction(0xB7, to, value=value)


def keep_bits(to: int, mask: int) -> Instruction:
    return Instruction(0x57, to, value=mask)


def jump_if(to: int, value: int, target: str) -> Instruction:
    """Where register `to` is `value`."""
    return Instruction(0x15, to, value=value, target=target)


def jump_unless(to: int, value: int, target: str) -> Instruction:
    return Instruction(0x55, to, value=value, target=target)


def jump_if_same(to: int, source: int, target: str) -> Instruction:
    """Where both registers hold the same."""
    return Instruction(0x1D, to, source, target=target)


def jump_above(to: int, value: int, target: str) -> Instruction:
    return Instruction(0x25, to, value=value, target=target)


def jump(target: str) -> Instruction:
    return Instruction(0x05, target=target)


def call(helper: int) -> Instruction:
    """Registers 1 to 5 are its arguments, and lost by it; 0 is its result."""
    return Instruction(0x85, value=helper)


def leave() -> Instruction:
    """With register 0 as the verdict."""
    return Instruction(0x95)


def assemble(name: str, code: Sequence[Instruction], licence: bytes = LICENCE) -> Program:
    """Labels become offsets. ValueError for a jump that leads nowhere."""
    places = {one.label: at for at, one in enumerate(code) if one.label}
    made = b""
    for at, one in enumerate(code):
        if one.target and one.target not in places:
            raise ValueError(f"no instruction is called {one.target!r}")
        offset = places[one.target] - at - 1 if one.target else one.offset
        value = one.value - (1 << 32) if one.value > 0x7FFFFFFF else one.value
        made += struct.pack("<BBhi", one.code, one.source << 4 | one.to, offset, value)
    return Program(name, made, licence)


def call_kernel(command: int, attributes: "bytes | ctypes.Array[ctypes.c_char]") -> int:
    """bpf(2), which writes into a buffer what it answers. OSError."""
    number = CALLS.get(platform.machine())
    if number is None:
        raise OSError(0, f"no number of bpf() is known for {platform.machine()}")
    if isinstance(attributes, bytes):
        attributes = ctypes.create_string_buffer(attributes, len(attributes))
    done = int(_libc.syscall(number, command, attributes, len(attributes)))
    if done < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return done


def told_of(descriptor: int, asked: bytes = b"") -> bytes:
    """What the kernel tells of a program or a map. `asked`: the beginning of what is handed to it, with room for lists.
    OSError."""
    room = ctypes.create_string_buffer(asked, INFO_SIZE)
    call_kernel(OBJ_GET_INFO, struct.pack("<IIQ", descriptor, len(room), ctypes.addressof(room)))
    return room.raw


def load(program: Program) -> int:
    """A descriptor of the program; the caller closes it. HostNetworkError with the verifier's last words when the
    kernel refuses it."""
    code = ctypes.create_string_buffer(program.instructions, len(program.instructions))
    licence, log = ctypes.create_string_buffer(program.licence), ctypes.create_string_buffer(LOG_SIZE)
    where = [ctypes.addressof(one) for one in (code, licence, log)]

    def attempt(level: int) -> int:
        space, room = (where[2], LOG_SIZE) if level else (0, 0)
        head = struct.pack("<IIQQIIQ", SCHED_CLS, len(code) // 8, where[0], where[1], level, room, space)
        return call_kernel(PROG_LOAD, head + struct.pack("<II16s", 0, 0, program.name.encode()[:15]))

    try:
        return attempt(0)
    except OSError as error:
        said = f"{error.strerror}"
    try:
        return attempt(1)
    except OSError:
        words = " ".join(log.value.decode(errors="replace").split())
        raise HostNetworkError(
            f"the kernel refuses the program {program.name}: {said} {words[-400:]}".strip()
        ) from None


@lru_cache(maxsize=4096)
def tag(program: Program) -> str:
    """By what the kernel knows these instructions."""
    held = load(program)
    try:
        return told_of(held)[8:16].hex()
    except OSError as error:
        raise HostNetworkError(f"the kernel does not tell of the program {program.name}: {error.strerror}") from error
    finally:
        os.close(held)
