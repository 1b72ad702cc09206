"""What the programs of the short ways are written with: instructions, helpers and places on the stack.

Source: bpf(2), bpf-helpers(7), the kernel's uapi header bpf.h (struct __sk_buff)."""

from infra.hostnet.bpf import Instruction, call, copy, jump_if, keep_bits, leave, put
from infra.hostnet.hooks import Map

UDP, TCP = 17, 6
FIN, SYN, RST = 1, 2, 4
LOOKUP, UPDATE, DELETE, REDIRECT, JIFFIES = 1, 2, 3, 23, 118
R0, R1, R2, R3, R4, R5, CONTEXT, R7, R8, R9, STACK = range(11)
MARK, TAGGED, CAME_BY, HERE, DATA, END = 8, 20, 36, 40, 76, 80
FLOW, ADDRESSES, OPTIONS, FLAGS, PLACE, NOTE = -32, -12, -48, -56, -72, -88
"""On the stack: a flow (its last twelve octets are addresses and ports), what connection tracking is asked with, TCP's
flags, an interface with a MAC address, a note."""


def _load(code: int, to: int, source: int, offset: int) -> Instruction:
    return Instruction(code, to, source, offset)


def half(to: int, source: int, offset: int) -> Instruction:
    return _load(0x69, to, source, offset)


def octet(to: int, source: int, offset: int) -> Instruction:
    return _load(0x71, to, source, offset)


def double(to: int, source: int, offset: int) -> Instruction:
    return _load(0x79, to, source, offset)


def fixed(offset: int, value: int) -> Instruction:
    """*(u32 *)(stack + offset) = value"""
    return Instruction(0x62, STACK, 0, offset, value)


def add(to: int, value: int) -> Instruction:
    return Instruction(0x07, to, value=value)


def having(to: int, value: int) -> Instruction:
    return Instruction(0x47, to, value=value)


def beyond(to: int, source: int, target: str) -> Instruction:
    """Where register `to` holds more than `source`."""
    return Instruction(0x2D, to, source, target=target)


def unequal(to: int, source: int, target: str) -> Instruction:
    return Instruction(0x5D, to, source, target=target)


def any_of(to: int, value: int, target: str) -> Instruction:
    """Where a bit of `value` is set."""
    return Instruction(0x45, to, value=value, target=target)


def none_of(to: int, value: int, target: str) -> list[Instruction]:
    """`to` is lost."""
    return [keep_bits(to, value), jump_if(to, 0, target)]


def map_(to: int, held: Map, inside: int = 1) -> list[Instruction]:
    return [Instruction(0x18, to, inside, value=held.fd), Instruction(0)]


def stack(to: int, offset: int) -> list[Instruction]:
    return [copy(to, STACK), add(to, offset)]


def ask(held: Map, key: int) -> list[Instruction]:
    return [*map_(R1, held), *stack(R2, key), call(LOOKUP)]


def kernel(number: int) -> Instruction:
    """A call of one of the kernel's functions."""
    return Instruction(0x85, 0, 2, value=number)


NEXT = [put(R0, -1).named("next"), leave()]
"""Whatever else hangs on the hook, and then the long way."""
