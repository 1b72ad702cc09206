"""Programs in the kernel: assembled, refused with a reason, replaced, told apart, and gone with their interface."""

import socket
from collections.abc import Iterator

import pytest

from infra.hostnet import bpf, clsact, netns
from infra.hostnet.bpf import DROP, PASS, Program
from infra.hostnet.clsact import Hook
from infra.hostnet.netns import HostNetworkError
from tests.hostnet.conftest import ip
from tests.hostnet.frames import BROADCAST, arrives, ethernet

MARK = b"kilonova-test-frame"
NOTHING: dict[Hook, list[str]] = {Hook.INGRESS: [], Hook.EGRESS: []}


def verdict(number: int) -> Program:
    return bpf.assemble(f"verdict_{number}", [bpf.put(0, number), bpf.leave()])


@pytest.fixture
def space() -> Iterator[str]:
    name = "kt-programs"
    netns.create(name)
    ip(name, "link", "add", "va", "type", "veth", "peer", "name", "vb")
    for end in ("va", "vb"):
        ip(name, "link", "set", end, "up")
    yield name
    netns.remove(name)


def index_of(space: str, name: str) -> int:
    return netns.call(space, lambda: socket.if_nametoindex(name))


def opened(space: str, name: str) -> socket.socket:
    made = netns.call(space, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
    made.bind((name, 3))
    return made


def test_a_program_says_what_leaves_and_goes_with_its_interface(space: str) -> None:
    index = index_of(space, "va")
    frame = ethernet(BROADCAST, "fa:16:3e:00:00:01", 0x88B5, MARK)
    with opened(space, "va") as sender, opened(space, "vb") as receiver:
        assert arrives(sender, frame, receiver, MARK)
        clsact.attach(space, index, Hook.EGRESS, verdict(DROP))
        assert clsact.attached(space, [index])[index] == {Hook.INGRESS: [], Hook.EGRESS: [bpf.tag(verdict(DROP))]}
        with pytest.raises(OSError, match="No buffer space"):
            sender.send(frame)
        for _ in range(2):
            clsact.attach(space, index, Hook.EGRESS, verdict(PASS))
        assert clsact.attached(space, [index])[index][Hook.EGRESS] == [bpf.tag(verdict(PASS))], "in its place"
        assert arrives(sender, frame, receiver, MARK)
        for _ in range(2):
            clsact.clear(space, index)
        assert clsact.attached(space, [index])[index] == NOTHING
    clsact.attach(space, index, Hook.INGRESS, verdict(DROP))
    ip(space, "link", "delete", "va")
    clsact.clear(space, index)
    assert clsact.attached(space, [index])[index] == NOTHING
    with pytest.raises(HostNetworkError, match="No such device"):
        clsact.attach(space, index, Hook.EGRESS, verdict(DROP))


def test_what_somebody_else_attached_is_seen(space: str) -> None:
    index = index_of(space, "va")
    clsact.attach(space, index, Hook.INGRESS, verdict(PASS))
    rule = ["bpf", "direct-action", "bytecode", "1,6 0 0 0"]
    netns.run(space, ["tc", "filter", "add", "dev", "va", "ingress", "protocol", "all", "prio", "7", *rule])
    found = clsact.attached(space, [index])[index][Hook.INGRESS]
    assert found[0] == bpf.tag(verdict(PASS)) and found[1:] and not any(found[1:])


def test_what_the_kernel_refuses_is_told_in_its_words() -> None:
    wild = bpf.assemble("wild", [bpf.load_word(0, 3, 0), bpf.leave()])
    with pytest.raises(HostNetworkError, match="R3 !read_ok"):
        bpf.load(wild)
    assert "R3 !read_ok" in clsact.unable(wild)
    assert clsact.unable(verdict(PASS)) == ""


def test_a_jump_needs_somewhere_to_lead() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        bpf.assemble("lost", [bpf.jump("nowhere"), bpf.leave()])
