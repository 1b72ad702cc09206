"""The programs of the short ways: one hands packets of noted flows on where they come in, one notes flows where they
leave, each for taps and for tunnels.

A flow is the interface that it came in by, both MAC addresses, the protocol, both IPv4 addresses and both ports. A note
tells until when it holds, in which generation it was made, and the interface to leave by. Tagged frames, fragments, IP
options and whatever lies scattered in memory take the long way."""

from collections.abc import Sequence
from dataclasses import dataclass

from infra.hostnet.bpf import (
    Instruction,
    Program,
    assemble,
    call,
    copy,
    jump,
    jump_if,
    jump_unless,
    keep_bits,
    leave,
    put,
)
from infra.hostnet.bpf import load_word as word
from infra.hostnet.bpf import store_word as keep
from infra.hostnet.flow_tracking import Tracking, answered, established, given_back
from infra.hostnet.flow_words import (
    CAME_BY,
    CONTEXT,
    DATA,
    DELETE,
    END,
    FIN,
    FLAGS,
    FLOW,
    HERE,
    JIFFIES,
    MARK,
    NEXT,
    NOTE,
    PLACE,
    R0,
    R1,
    R2,
    R3,
    R4,
    R7,
    R8,
    R9,
    REDIRECT,
    RST,
    STACK,
    SYN,
    TAGGED,
    TCP,
    UDP,
    UPDATE,
    add,
    any_of,
    ask,
    beyond,
    double,
    half,
    map_,
    none_of,
    octet,
    stack,
    unequal,
)
from infra.hostnet.hooks import Map
from infra.hostnet.ruleset import BRIDGED, KEEP

LASTS_S, NEIGHBOUR_S = 5, 300
LICENCE = b"GPL\0"
"""What the kernel wants of programs that ask its connection tracking."""


@dataclass(frozen=True)
class Told:
    """What programs are told. `devices`: interface → zone, and whether what comes in by it may be noted. `near`: taps
    with the MAC addresses that are theirs alone, tunnels with those that are on this host. `generation`: one number."""

    devices: Map
    near: Map
    generation: Map


@dataclass(frozen=True)
class Maps(Told):
    """And what they find out. `flows`: notes; `there`: tunnels with the MAC addresses that ARP came from."""

    flows: Map
    there: Map


def _parsed(interface: int, other: str) -> list[Instruction]:
    """The packet's flow, and register 9 its protocol; of TCP its flags, too. `other`: for what is not IPv4."""
    fields = [(R1, 0, 4), (R1, 4, 8), (R1, 8, 12), (R1, 26, 20), (R1, 30, 24), (R1, 34, 28)]
    return [
        word(R1, CONTEXT, TAGGED),
        jump_unless(R1, 0, "next"),
        word(R7, CONTEXT, DATA),
        word(R8, CONTEXT, END),
        copy(R1, R7),
        add(R1, 42),
        beyond(R1, R8, "next"),
        half(R1, R7, 12),
        jump_unless(R1, 0x0008, other),
        octet(R1, R7, 14),
        jump_unless(R1, 0x45, "next"),
        half(R1, R7, 20),
        keep_bits(R1, 0xFF3F),
        jump_unless(R1, 0, "next"),
        octet(R9, R7, 23),
        word(R1, CONTEXT, interface),
        keep(STACK, FLOW, R1),
        *(one for to, where, at in fields for one in (word(to, R7, where), keep(STACK, FLOW + at, to))),
        keep(STACK, FLOW + 16, R9),
        jump_if(R9, UDP, "known"),
        jump_unless(R9, TCP, "next"),
        copy(R1, R7),
        add(R1, 54),
        beyond(R1, R8, "next"),
        octet(R1, R7, 47),
        keep(STACK, FLAGS, R1),
    ]


def entrance(maps: Maps, tracking: Tracking | None, hertz: int, *, tunnel: bool) -> list[Instruction]:
    """Packets of noted flows leave at once. What a tunnel's packet was marked with ends here."""
    return [
        copy(CONTEXT, R1),
        word(R1, CONTEXT, MARK),
        jump_if(R1, 0, "unmarked"),
        keep_bits(R1, KEEP),
        keep(CONTEXT, MARK, R1),
        word(R1, CONTEXT, TAGGED).named("unmarked"),
        *_parsed(HERE, "neighbour" if tunnel else "next"),
        *(_begins_or_ends(maps, tracking)),
        *[one.named("known") if not at else one for at, one in enumerate(ask(maps.flows, FLOW))],
        jump_if(R0, 0, "unknown"),
        copy(R8, R0),
        word(R1, R8, 8),
        *map_(R2, maps.generation, 2),
        word(R2, R2, 0),
        unequal(R1, R2, "unknown"),
        call(JIFFIES),
        double(R1, R8, 0),
        beyond(R0, R1, "unknown"),
        *([put(R1, 0), keep(CONTEXT, MARK, R1)] if tunnel else []),
        word(R1, R8, 12),
        put(R2, 0),
        call(REDIRECT),
        leave(),
        *answered(maps.devices, tracking),
        *NEXT,
        *(_neighbour(maps, hertz) if tunnel else []),
    ]


def _begins_or_ends(maps: Maps, tracking: Tracking | None) -> list[Instruction]:
    if not tracking:
        return [jump("next")]
    forget = [*map_(R1, maps.flows), *stack(R2, FLOW), call(DELETE)]
    return [*none_of(R1, FIN | SYN | RST, "known"), *forget, jump("unknown")]


def _neighbour(maps: Maps, hertz: int) -> list[Instruction]:
    """ARP tells which MAC addresses are beyond a tunnel: what a bridge floods there may be meant for another port."""
    return [
        jump_unless(R1, 0x0608, "next").named("neighbour"),
        word(R1, CONTEXT, HERE),
        keep(STACK, PLACE, R1),
        half(R1, R7, 6),
        half(R2, R7, 8),
        half(R3, R7, 10),
        Instruction(0x6B, STACK, R1, PLACE + 4),
        Instruction(0x6B, STACK, R2, PLACE + 6),
        keep(STACK, PLACE + 8, R3),
        call(JIFFIES),
        add(R0, NEIGHBOUR_S * hertz),
        Instruction(0x7B, STACK, R0, NOTE),
        *map_(R1, maps.there),
        *stack(R2, PLACE),
        *stack(R3, NOTE),
        put(R4, 0),
        call(UPDATE),
        jump("next"),
    ]


def exit_(maps: Maps, tracking: Tracking | None, hertz: int, *, tunnel: bool) -> list[Instruction]:
    """What a bridge of ours lets go has passed source check, connection tracking and rules: its flow is noted."""
    clear = [keep_bits(R1, KEEP), keep(CONTEXT, MARK, R1)] if tunnel else []
    lasts = [call(JIFFIES), double(R1, R8, 0), beyond(R0, R1, "next")] if tunnel else []
    came = [*ask(maps.near, PLACE), jump_unless(R0, 0, "next")] if tunnel else []
    return [
        copy(CONTEXT, R1),
        word(R1, CONTEXT, MARK),
        any_of(R1, BRIDGED, "bridged"),
        jump("next"),
        copy(R2, R1).named("bridged"),
        *clear,
        *_parsed(CAME_BY, "next"),
        any_of(R1, FIN | SYN | RST, "next") if tracking else jump("next"),
        word(R1, CONTEXT, HERE).named("known"),
        keep(STACK, PLACE, R1),
        word(R1, R7, 0),
        keep(STACK, PLACE + 4, R1),
        half(R1, R7, 4),
        keep(STACK, PLACE + 8, R1),
        *came,
        *ask(maps.there if tunnel else maps.near, PLACE),
        jump_if(R0, 0, "next"),
        copy(R8, R0),
        *lasts,
        *ask(maps.devices, FLOW),
        jump_if(R0, 0, "next"),
        word(R1, R0, 4),
        jump_if(R1, 0, "next"),
        *(established(tracking) if tracking else []),
        call(JIFFIES).named("note"),
        add(R0, LASTS_S * hertz),
        Instruction(0x7B, STACK, R0, NOTE),
        *map_(R1, maps.generation, 2),
        word(R1, R1, 0),
        keep(STACK, NOTE + 8, R1),
        word(R1, CONTEXT, HERE),
        keep(STACK, NOTE + 12, R1),
        *map_(R1, maps.flows),
        *stack(R2, FLOW),
        *stack(R3, NOTE),
        put(R4, 0),
        call(UPDATE),
        jump("next"),
        *(given_back(tracking) if tracking else []),
        *NEXT,
    ]


def programs(maps: Maps, tracking: Tracking | None, hertz: int, suffix: str) -> dict[str, Program]:
    """By role: in and out, of taps and of tunnels. `suffix` becomes a part of their names."""

    def made(role: str, code: Sequence[Instruction]) -> Program:
        return assemble(f"{role}_{suffix}", code, LICENCE)

    return {
        "ti": made("ti", entrance(maps, tracking, hertz, tunnel=False)),
        "to": made("to", exit_(maps, tracking, hertz, tunnel=False)),
        "vi": made("vi", entrance(maps, tracking, hertz, tunnel=True)),
        "vo": made("vo", exit_(maps, tracking, hertz, tunnel=True)),
    }
