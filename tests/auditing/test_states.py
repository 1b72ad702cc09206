"""One test for each rule about records and what they speak of."""

from activities.auditing import states
from infra.contracts.audit import AttachmentSeen, PortSeen
from tests.auditing.worlds import (
    ATTACHMENT,
    ID,
    OTHER,
    PORT,
    STRANGE,
    VOLUME,
    bare,
    deleted,
    facts,
    failed,
    server,
    shown,
    world,
)  # fmt: skip


def test_stuck() -> None:
    for at_work in (server(task_state="deleting"), server(vm_state="building")):
        assert shown(states.stuck(world(at_work))) == [(ID, "here", "", True)]
    for rests in (server(), deleted(task_state="deleting"), failed()):
        assert shown(states.stuck(world(rests))) == []


def test_lost() -> None:
    without = {"here": facts(domains={})}
    assert shown(states.lost(world(hosts=without))) == [(ID, "here", "", False)]
    assert shown(states.lost(world(hosts={}))) == [], "its host did not answer: nothing is known"
    for other in (server(vm_state="stopped"), server(task_state="rebooting"), server(vm_state="error"), deleted()):
        assert shown(states.lost(world(other, hosts=without))) == []


def test_waiting() -> None:
    waits = {"here": facts(waiting={ID: ["vdb"]})}
    assert shown(states.waiting(world(hosts=waits))) == [(ID, "here", "vdb", False)]
    for other in (world(), world(server(task_state="rebooting"), hosts=waits), world(deleted(), hosts=waits)):
        assert shown(states.waiting(other)) == []
    elsewhere = {"there": facts("there", waiting={ID: ["vdb"]})}
    assert shown(states.waiting(world(hosts=elsewhere))) == [], "not its host's word"


def test_doubled() -> None:
    both = {"there": facts("there"), "here": facts()}
    assert shown(states.doubled(world(hosts=both))) == [(ID, "here,there", "", False)]
    assert shown(states.doubled(world(servers={}, hosts=both))) == [(ID, "here,there", "", False)]
    assert shown(states.doubled(world(server(task_state="migrating"), hosts=both))) == []
    kept = {"here": facts(), "there": facts("there", domains={ID: 4})}
    for waits, shows in (("resized", []), ("active", [(ID, "here,there", "", False)])):
        assert shown(states.doubled(world(server(vm_state=waits, resize_on="there"), hosts=kept))) == shows
    twice = {"here": facts(), "there": facts("there", domains={ID: 1})}
    assert shown(states.doubled(world(server(vm_state="resized", resize_on="there"), hosts=twice))), "both run"
    assert shown(states.doubled(world())) == []


def test_address_twice() -> None:
    twin = server(OTHER)
    assert shown(states.address_twice(bare(server(), twin))) == [
        (ID, "", "10.0.0.5", False),
        (OTHER, "", "10.0.0.5", False),
    ]
    assert shown(states.address_twice(bare(server(), deleted(OTHER, ports=twin.ports)))) == []
    assert shown(states.address_twice(bare(server(), failed(OTHER, ports=twin.ports)))) == []
    assert shown(states.address_twice(bare(server()))) == []


def test_port_gone() -> None:
    for ports in ({}, {PORT: PortSeen(STRANGE)}):
        assert shown(states.port_gone(world(ports=ports))) == [(ID, "here", PORT, False)]
    assert shown(states.port_gone(world(ports={}, has_ports=False))) == [], "an outage is no absence"
    assert shown(states.port_gone(world())) == []
    assert shown(states.port_gone(world(server(task_state="deleting"), ports={}))) == []


def test_attachment_gone() -> None:
    for attachments in ({}, {ATTACHMENT: AttachmentSeen(STRANGE, VOLUME)}):
        assert shown(states.attachment_gone(world(attachments=attachments))) == [(ID, "here", ATTACHMENT, False)]
    assert shown(states.attachment_gone(world(attachments={}, has_volumes=False))) == [], "an outage is no absence"
    assert shown(states.attachment_gone(world())) == []
    assert shown(states.attachment_gone(world(server(task_state="deleting"), attachments={}))) == []
