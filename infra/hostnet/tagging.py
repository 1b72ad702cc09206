"""The programs that carry a trunk: tags come off where a guest sends, and are put on where its subports are answered.

Each is a function of the numbers in it, so what is attached is right when its tag is that of the program made anew.
By the time a program sees a frame, the kernel has taken the outer tag out of it, into the packet's own fields."""

import socket
from collections.abc import Mapping, Sequence

from infra.hostnet import bpf
from infra.hostnet.bpf import DROP, PASS, Instruction, Program

MARK, PROTOCOL, TAGGED, TAG, TAG_PROTOCOL, CAME_BY = 8, 16, 20, 24, 28, 36
"""Offsets in a program's context, struct __sk_buff."""
PUSH_TAG, POP_TAG, REDIRECT = 18, 19, 23
"""Helpers, by number."""
VLAN, SERVICE_VLAN = socket.htons(0x8100), socket.htons(0x88A8)
NUMBER = 0xFFF
"""Bits of a tag that say which VLAN; 0 is none, and the tag says only how urgent the frame is."""


def _end(label: str, verdict: int) -> list[Instruction]:
    return [bpf.put(0, verdict).named(label), bpf.leave()]


def _no_second_tag() -> list[Instruction]:
    """Frames with a tag behind the one that was taken out, or with one that was not, are for nobody."""
    return [bpf.load_word(2, 6, PROTOCOL), bpf.jump_if(2, VLAN, "drop"), bpf.jump_if(2, SERVICE_VLAN, "drop")]


def _numbered() -> list[Instruction]:
    """What bears no number passes; register 7 has the number of what goes on from here."""
    return [
        bpf.copy(6, 1),
        *_no_second_tag(),
        bpf.load_word(2, 6, TAGGED),
        bpf.jump_if(2, 0, "pass"),
        bpf.load_word(2, 6, TAG_PROTOCOL),
        bpf.jump_unless(2, VLAN, "drop"),
        bpf.load_word(7, 6, TAG),
        bpf.keep_bits(7, NUMBER),
        bpf.jump_if(7, 0, "pass"),
    ]


def _found(places: Sequence[tuple[int, int]]) -> list[Instruction]:
    """Register 8 has the interface of register 7's number, which is dropped when it has none: halves of halves."""
    if not places:
        return [bpf.jump("drop")]
    if len(places) == 1:
        number, index = places[0]
        return [bpf.jump_unless(7, number, "drop"), bpf.put(8, index), bpf.jump("found")]
    middle = len(places) // 2
    right = _found(places[middle:])
    label = f"above {places[middle - 1][0]}"
    return [
        bpf.jump_above(7, places[middle - 1][0], label),
        *_found(places[:middle]),
        right[0].named(label),
        *right[1:],
    ]


def _by_number(name: str, outer: Mapping[int, int], found: Sequence[Instruction]) -> Program:
    """`found` goes on with what has a number of `outer`. Without any it is left out: the kernel refuses what no way
    leads to."""
    code = [*_numbered(), *_found(sorted(outer.items())), *(found if outer else ())]
    return bpf.assemble(name, [*code, *_end("pass", PASS), *_end("drop", DROP)])


def from_guest(outer: Mapping[int, int]) -> Program:
    """At the entrance of a parent's tap. `outer`: number → interface to which the frame goes on without its tag.
    Frames with any other number are dropped; those without one go their way."""
    found = [
        bpf.copy(1, 6).named("found"),
        bpf.call(POP_TAG),
        bpf.jump_unless(0, 0, "drop"),
        bpf.copy(1, 8),
        bpf.put(2, 0),
        bpf.call(REDIRECT),
        bpf.leave(),
    ]
    return _by_number("trunk_in", outer, found)


def to_guest(outer: Mapping[int, int]) -> Program:
    """At the exit of a parent's tap: frames with a number leave only if they came by that number's interface. What a
    neighbour on the parent's own network tags by itself is not taken for a subport's."""
    found = [
        bpf.load_word(2, 6, CAME_BY).named("found"),
        bpf.jump_if_same(2, 8, "pass"),
        bpf.jump("drop"),
    ]
    return _by_number("trunk_out", outer, found)


def from_subport(number: int, tap: int | None) -> Program:
    """At the entrance of a subport's outer end: what its bridge sends goes on to the parent's tap with the number, and
    without what our rules marked it with. Nothing does while there is no tap."""
    if tap is None:
        return bpf.assemble("trunk_none", _end("drop", DROP))
    code = [
        bpf.copy(6, 1),
        *_no_second_tag(),
        bpf.load_word(2, 6, TAGGED),
        bpf.jump_unless(2, 0, "drop"),
        bpf.put(2, 0),
        bpf.store_word(6, MARK, 2),
        bpf.copy(1, 6),
        bpf.put(2, VLAN),
        bpf.put(3, number),
        bpf.call(PUSH_TAG),
        bpf.jump_unless(0, 0, "drop"),
        bpf.put(1, tap),
        bpf.put(2, 0),
        bpf.call(REDIRECT),
        bpf.leave(),
    ]
    return bpf.assemble("trunk_tag", [*code, *_end("drop", DROP)])
