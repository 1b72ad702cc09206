"""One test for each rule about what hangs on servers that hold nothing: what it finds, and what it leaves alone."""

from uuid import uuid4

import pytest

from activities.auditing import leftovers
from infra.contracts.audit import AttachmentSeen, PortSeen
from infra.contracts.verdict import Known
from infra.contracts.volume import parted_id
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
    own,
    server,
    shown,
    volume,
    world,
)  # fmt: skip


@pytest.mark.parametrize("rule", [leftovers.domain, leftovers.disk, leftovers.host_port])
def test_what_is_on_a_host_and_is_not_its_own(rule: object) -> None:
    what = PORT if rule is leftovers.host_port else ""
    here = {"here": facts()}
    assert callable(rule)
    for gone in (deleted(), server(held={"there": 2}, claims=2), failed()):
        assert shown(rule(bare(gone, hosts=here))) == [(ID, "here", what, True)]
    newer = {"here": facts(attempts={ID: 3})}
    at_work = server(vm_state="building", held={"there": 2}, claims=2)
    for left in (
        bare(server(), hosts=here),
        bare(hosts=here, servers={}),
        bare(deleted(), hosts=newer),
        bare(at_work, hosts=here),
    ):
        assert shown(rule(left)) == []


def test_a_port_that_we_made() -> None:
    seen = {PORT: PortSeen(ID)}
    named = {str(uuid4()): PortSeen(ID, name=PORT)}
    for gone in (deleted(), failed()):
        assert shown(leftovers.port(bare(gone, ports=seen))) == [(ID, "", PORT, True)]
        assert len(shown(leftovers.port(bare(gone, ports=named)))) == 1
    for kept in (server(), server(vm_state="error"), failed(task_state="scheduling"), failed(vm_state="building")):
        assert shown(leftovers.port(world(kept))) == []


def test_a_foreign_servers_or_a_tenants_port_is_not_ours() -> None:
    """A Nova beside Kilonova has `compute:nova` ports, too; a tenant may name any device."""
    foreign = {str(uuid4()): PortSeen(STRANGE), own(STRANGE, "nic"): PortSeen(STRANGE), "no-uuid": PortSeen("x")}
    tenants = {str(uuid4()): PortSeen(ID), own(OTHER, "port"): PortSeen(ID)}
    for ports in (foreign, tenants):
        for rule in (leftovers.port, leftovers.binding, leftovers.unknown):
            assert shown(rule(bare(deleted(), ports=ports))) == []


def test_a_tenants_port_that_we_bound() -> None:
    bound = {OTHER: PortSeen(ID, mark=ID)}
    assert shown(leftovers.binding(bare(deleted(), ports=bound))) == [(ID, "", OTHER, True)]
    assert shown(leftovers.port(bare(deleted(), ports=bound))) == []
    assert shown(leftovers.binding(world(server(), ports=bound))) == []
    assert shown(leftovers.binding(bare(deleted(), ports={OTHER: PortSeen(ID, mark=STRANGE)}))) == []
    assert shown(leftovers.binding(bare(deleted(), ports={PORT: PortSeen(ID, mark=ID)}))) == []


def test_an_attachment_that_we_made() -> None:
    seen = {ATTACHMENT: AttachmentSeen(ID, VOLUME)}
    assert shown(leftovers.attachment(bare(deleted(), attachments=seen))) == [(ID, "", ATTACHMENT, True)]
    (found,) = leftovers.attachment(bare(deleted(), attachments=seen))
    assert found.volume_id == VOLUME
    by_hand = {str(uuid4()): AttachmentSeen(ID, VOLUME), own(OTHER, "attachment"): AttachmentSeen(ID, VOLUME)}
    foreign = {str(uuid4()): AttachmentSeen(STRANGE, VOLUME)}
    for attachments in (by_hand, foreign):
        for rule in (leftovers.attachment, leftovers.unknown):
            assert shown(rule(bare(deleted(), attachments=attachments))) == []
    assert shown(leftovers.attachment(world())) == []


def test_a_volume_that_a_build_made() -> None:
    goes, stays = {VOLUME: volume()}, {VOLUME: volume(goes=False)}
    assert shown(leftovers.volume(bare(deleted(), volumes=goes))) == [(ID, "", VOLUME, True)]
    assert shown(leftovers.volume(bare(deleted(launched=False), volumes=stays))) == [(ID, "", VOLUME, True)]
    assert shown(leftovers.volume(bare(failed(), volumes=stays))) == [(ID, "", VOLUME, True)]
    for left in (bare(deleted(), volumes=stays), world(volumes=goes), bare(servers={}, volumes=goes)):
        assert shown(leftovers.volume(left)) == []
    written_by_a_tenant = {str(uuid4()): volume()}
    for rule in (leftovers.volume, leftovers.unknown):
        assert shown(rule(bare(deleted(), volumes=written_by_a_tenant))) == []


def test_a_claim_without_a_keeper() -> None:
    for gone in (deleted(held={"here": 1}), failed(held={"here": 1})):
        assert shown(leftovers.allocation(bare(gone))) == [(ID, "here", "", True)]
    for kept in (server(), server(vm_state="error"), failed(task_state="spawning", held={"here": 1})):
        assert shown(leftovers.allocation(bare(kept))) == []


def test_what_a_resize_holds_that_nobody_can_confirm_any_more() -> None:
    kept = {"held": {"here": 2}, "resize_on": "here"}
    for over in (server(**kept), server(vm_state="error", **kept), server(vm_state="stopped", **kept)):
        assert shown(leftovers.allocation(bare(over))) == [(ID, "here", "resize", True)]
    for waits in (server(vm_state="resized", **kept), server(task_state="resize_prep", **kept), server()):
        assert shown(leftovers.allocation(bare(waits))) == []


def test_an_image_that_nothing_waits_in() -> None:
    for left in (deleted(), server()):
        assert shown(leftovers.image(bare(left, images={OTHER: ID}))) == [(ID, "", OTHER, True)]
    for kept in (server(vm_state="shelved"), server(vm_state="shelved_offloaded"), server(task_state="unshelving")):
        assert shown(leftovers.image(bare(kept, images={OTHER: ID}))) == []
    assert shown(leftovers.image(bare(server(), images={OTHER: STRANGE}))) == []


def test_an_attachment_that_kept_a_volume_meanwhile() -> None:
    """Made while the other one was made anew without a host; a server that is no UUID has none of ours."""
    meanwhile = parted_id(ID, VOLUME)
    seen = {meanwhile: AttachmentSeen(ID, VOLUME), OTHER: AttachmentSeen("", VOLUME)}
    assert shown(leftovers.attachment(bare(deleted(), attachments=seen))) == [(ID, "", meanwhile, True)]
    assert shown(leftovers.unknown(bare(servers={}, attachments=seen))) == [(ID, "", meanwhile, False)]


def test_a_console_token_of_a_deleted_server() -> None:
    assert shown(leftovers.console_token(bare(deleted(), consoles={ID, STRANGE}))) == [(ID, "", "", True)]
    assert shown(leftovers.console_token(bare(server(), consoles={ID}))) == []


def test_what_no_record_knows_is_told_and_never_ours() -> None:
    unknown = bare(
        servers={},
        hosts={"here": facts()},
        claims={STRANGE: Known(recorded=False, held={"there": 1})},
        ports={PORT: PortSeen(ID), OTHER: PortSeen(STRANGE, mark=STRANGE)},
        attachments={ATTACHMENT: AttachmentSeen(ID, VOLUME)},
        volumes={VOLUME: volume()},
    )
    found = shown(leftovers.unknown(unknown))
    assert {what for _, _, what, _ in found} == {"domain", "disk", PORT, OTHER, "allocation", ATTACHMENT, VOLUME}
    assert not any(proof for _, _, _, proof in found)
    for rule in (
        leftovers.domain,
        leftovers.disk,
        leftovers.host_port,
        leftovers.port,
        leftovers.attachment,
        leftovers.volume,
    ):
        assert shown(rule(unknown)) == []
