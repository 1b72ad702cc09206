"""TCP on the short ways, and what connection tracking knows of it.

Only what belongs to a connection that tracking has as established is noted; the connection's mark then says that
tracking does not see all of it (HURRIED). From there on its answers are known by its entry alone, whatever their
numbers, segments that begin or end a connection take the long way, and the first that ends it (ENDED) leaves the entry
as much time as tracking would."""

from dataclasses import dataclass

from infra.hostnet import btf
from infra.hostnet.bpf import Instruction, copy, jump, jump_if, jump_unless, keep_bits, put
from infra.hostnet.bpf import load_word as word
from infra.hostnet.bpf import store_word as keep
from infra.hostnet.flow_words import (
    ADDRESSES,
    CONTEXT,
    FIN,
    FLAGS,
    FLOW,
    MARK,
    OPTIONS,
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R7,
    R8,
    R9,
    RST,
    STACK,
    SYN,
    TCP,
    any_of,
    ask,
    double,
    fixed,
    having,
    kernel,
    none_of,
    octet,
    stack,
)
from infra.hostnet.hooks import Map
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.ruleset import REPLY

HURRIED, ENDED = 0x00100000, 0x00200000
"""Bits of a connection's mark."""
CLOSING_MS, RESET_MS = 120_000, 10_000


@dataclass(frozen=True)
class Tracking:
    """Numbers and places that programs need to ask connection tracking."""

    lookup: int
    release: int
    change: int
    mark: int
    status: int
    state: int
    idle_ms: int

    @classmethod
    def known(cls, idle_s: int) -> "Tracking":
        """HostNetworkError where the kernel cannot be asked. `idle_s`: how long a connection may be silent."""
        types = btf.kernel()
        if types.size("bpf_ct_opts") != 16:
            raise HostNetworkError("the kernel's connection tracking cannot be asked by zone")
        return cls(
            lookup=types.function("bpf_skb_ct_lookup"),
            release=types.function("bpf_ct_release"),
            change=types.function("bpf_ct_change_timeout"),
            mark=types.offset("nf_conn", "mark"),
            status=types.offset("nf_conn", "status"),
            state=types.offset("nf_conn", "proto", "tcp", "state"),
            idle_ms=min(idle_s * 1000, 0x7FFFFFFF),
        )


def _connection(tracking: Tracking) -> list[Instruction]:
    """Register 7 is the entry of the flow in the zone that register 1 has, and must be given back; else next."""
    return [
        fixed(OPTIONS, -1),
        fixed(OPTIONS + 4, 0),
        fixed(OPTIONS + 8, TCP),
        Instruction(0x6B, STACK, R1, OPTIONS + 10),
        fixed(OPTIONS + 12, 3),
        copy(R1, CONTEXT),
        *stack(R2, ADDRESSES),
        put(R3, 12),
        *stack(R4, OPTIONS),
        put(R5, 16),
        kernel(tracking.lookup),
        jump_if(R0, 0, "next"),
        copy(R7, R0),
    ]


def given_back(tracking: Tracking) -> list[Instruction]:
    return [copy(R1, R7).named("done"), kernel(tracking.release), jump("next")]


def answered(devices: Map, tracking: Tracking | None) -> list[Instruction]:
    """TCP that takes the long way: of a HURRIED connection it may be an answer that tracking does not know."""
    if not tracking:
        return [jump("next").named("unknown")]
    return [
        jump_unless(R9, TCP, "next").named("unknown"),
        *ask(devices, FLOW),
        jump_if(R0, 0, "next"),
        word(R1, R0, 0),
        *_connection(tracking),
        word(R9, R7, tracking.mark),
        copy(R1, R9),
        *none_of(R1, HURRIED, "done"),
        word(R8, STACK, FLAGS),
        any_of(R8, SYN, "begins"),
        any_of(R8, FIN | RST, "ends"),
        copy(R1, R9),
        *none_of(R1, ENDED, "direction"),
        put(R2, CLOSING_MS),
        jump("time"),
        keep_bits(R9, ~ENDED).named("begins"),
        keep(R7, tracking.mark, R9),
        jump("direction"),
        having(R9, ENDED).named("ends"),
        keep(R7, tracking.mark, R9),
        put(R2, RESET_MS),
        any_of(R8, RST, "time"),
        put(R2, CLOSING_MS),
        copy(R1, R7).named("time"),
        kernel(tracking.change),
        octet(R1, STACK, OPTIONS + 9).named("direction"),
        jump_if(R1, 0, "done"),
        word(R1, CONTEXT, MARK),
        having(R1, REPLY),
        keep(CONTEXT, MARK, R1),
        *given_back(tracking),
    ]


def established(tracking: Tracking) -> list[Instruction]:
    """Tracking would end an entry early that saw data without their acknowledgement: it has its whole time again."""
    assured, established = 1 << 2, 3
    return [
        jump_unless(R9, TCP, "note"),
        word(R1, R0, 0),
        *_connection(tracking),
        double(R1, R7, tracking.status),
        *none_of(R1, assured, "done"),
        octet(R1, R7, tracking.state),
        jump_unless(R1, established, "done"),
        word(R1, R7, tracking.mark),
        any_of(R1, ENDED, "done"),
        having(R1, HURRIED),
        keep(R7, tracking.mark, R1),
        copy(R1, R7),
        Instruction(0xB4, R2, value=tracking.idle_ms),
        kernel(tracking.change),
        copy(R1, R7),
        kernel(tracking.release),
    ]
