"""A guest whose host lost its definition: os-start and a hard reboot make it anew from the records."""

from dataclasses import replace

import pytest

from infra.contracts.network import PortAddresses, PortNow, drive_is_old
from infra.tables.compute import Instance
from tests.frame.cloud import FrameCloud
from tests.frame.test_shelve import shelve, until_offloaded
from tests.workflows.acting import do, server
from tests.workflows.servers import instance_of
from tests.workflows.ways import WAYS

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(("name", "steps"), [("os-start", ["start_guest", "start_guest"]), ("reboot", ["reboot"])])
async def test_a_lost_definition_is_made_anew(cloud: FrameCloud, name: str, steps: list[str]) -> None:
    handle = await server(cloud, name)
    record = cloud.record(handle)
    assert record is not None and record.host
    domain = ("domain", instance_of(handle), "")
    cloud.things.here[record.host].remove(domain)
    cloud.things.here[record.host].discard(("tap", instance_of(handle), record.networks[0]["port_id"]))
    assert await do(cloud, handle, name) is None
    ran = cloud.faults.done
    assert [step for step in ran if step in steps] == steps
    assert {"fetch_guest", "plug_ports", "attach_volumes"} <= set(ran)
    assert domain in cloud.things.here[record.host]
    assert ("tap", instance_of(handle), record.networks[0]["port_id"]) in cloud.things.here[record.host]
    await cloud.delete(handle)
    assert await cloud.end(handle) is None
    assert await cloud.leaks() == []


async def test_a_start_asks_no_service_while_its_host_has_all(cloud: FrameCloud) -> None:
    """It works while the network and volume services are away, and costs one step on the host."""
    handle = await server(cloud, "os-start")
    assert await do(cloud, handle, "os-start") is None
    assert cloud.faults.done == ["begin_action", "start_guest", "end_action"]


@pytest.mark.parametrize("name", ["os-start", "reboot", "rebuild", "rescue", "unshelve"])
async def test_a_port_that_was_deleted_costs_the_server_that_port(cloud: FrameCloud, name: str) -> None:
    """Whatever plugs its ports once more works without it, and the record follows."""
    handle = await server(cloud, "shelve" if name == "unshelve" else name)
    record = cloud.record(handle)
    assert record is not None and record.host and record.networks
    if name == "unshelve":
        await shelve(cloud, handle, offload_after_s=0)
        await until_offloaded(cloud, handle)
    if name == "os-start":
        cloud.things.here[record.host].remove(("domain", instance_of(handle), ""))
    for port in record.networks:
        cloud.things.anywhere.remove(("port", instance_of(handle), port["port_id"]))
    assert await do(cloud, handle, name) is None
    record = cloud.record(handle)
    assert record is not None and record.networks == []
    assert "port" not in {kind for _, kind, id, _ in cloud.things.things() if id == instance_of(handle)}
    await cloud.delete(handle)
    assert await cloud.end(handle) is None
    assert await cloud.leaks() == []


@pytest.mark.parametrize(
    ("name", "body"), [("os-start", {}), ("reboot", {"type": "SOFT"}), ("reboot", {"type": "HARD"})]
)
async def test_the_next_boot_tells_of_what_changed(
    cloud: FrameCloud, monkeypatch: pytest.MonkeyPatch, name: str, body: dict[str, str]
) -> None:
    """A subnet says something else: whichever way the guest starts next, its config drive is written anew; once."""
    monkeypatch.setitem(WAYS, name, replace(WAYS[name], body=body))
    handle = await server(cloud, name)
    record = cloud.record(handle)
    assert record is not None and not drive_is_old(record.networks)
    (port,) = record.networks
    now = PortNow(device_id=record.id, fixed_ips=port["fixed_ips"], told="another")
    cloud.things.looks[record.id] = PortAddresses(ports={port["port_id"]: now})
    assert await do(cloud, handle, "refresh_network") is None
    record = cloud.record(handle)
    assert record is not None and drive_is_old(record.networks) and record.vm_state != "error"
    cloud.faults.arm()
    assert await do(cloud, handle, name) is None
    assert "plug_ports" in cloud.faults.ran
    record = cloud.record(handle)
    assert record is not None and record.networks == [port], "told anew, by what plugging found"
    if body.get("type") == "SOFT":
        cloud.faults.arm()
        assert await do(cloud, handle, name) is None
        assert "plug_ports" not in cloud.faults.ran
    await cloud.delete(handle)
    assert await cloud.end(handle) is None
    assert await cloud.leaks() == []


async def test_an_unrescued_server_has_the_drive_of_before(cloud: FrameCloud) -> None:
    """A rescue brings the drive along that it wrote; what an unrescue brings back may be older."""
    handle = await server(cloud, "rescue")
    record = cloud.record(handle)
    assert record is not None
    (port,) = record.networks
    now = PortNow(device_id=record.id, fixed_ips=port["fixed_ips"], told="another")
    cloud.things.looks[record.id] = PortAddresses(ports={port["port_id"]: now})
    assert await do(cloud, handle, "refresh_network") is None
    with cloud.database.write() as session:  # the drive of before told of a third thing
        row = session.get(Instance, record.id)
        assert row is not None
        row.networks = [row.networks[0] | {"told": "a third"}]
        session.add(row)
    assert await do(cloud, handle, "rescue") is None
    record = cloud.record(handle)
    assert record is not None and record.networks == [port | {"told": "a third"}] and drive_is_old(record.networks)
    await cloud.delete(handle)
    assert await cloud.end(handle) is None
