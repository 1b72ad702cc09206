"""Ports and volumes of a server: what is asked of one that is there already, gone, or one too many."""

from typing import Any

import pytest

from api.common.errors import ServiceError
from infra.tables.compute import Instance
from tests.frame.cloud import FrameCloud
from tests.frame.test_actions import drop
from tests.ids import stable_id
from tests.workflows.acting import Handle, request, server
from tests.workflows.servers import instance_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
OWN = "c0000000-0000-4000-8000-000000000001"


async def act(cloud: FrameCloud, handle: Handle, name: str, **body: Any) -> Any:
    cloud.faults.arm()
    action, wanted = request(cloud, handle, name)
    accepted = await cloud.ops.start(action, wanted.model_copy(update={"body": body}))
    return accepted.answer, await cloud.end(handle)


async def test_a_tenants_own_port_is_attached_once(cloud: FrameCloud) -> None:
    """Mechanism: the record is looked at before the port; the second attach's undo would let go of the first's port."""
    handle = await server(cloud, "attach_interface")
    assert await act(cloud, handle, "attach_interface", port_id=OWN) == ({"port_id": OWN}, None)
    with pytest.raises(ServiceError, match=f"Port {OWN} is still in use."):
        await act(cloud, handle, "attach_interface", port_id=OWN)
    await cloud.end(handle)
    row = cloud.record(handle)
    assert row and row.requested_ports[OWN] is False
    assert [kind for _, kind, _, what in cloud.things.things() if what == OWN] == ["nic", "tap"]
    assert (await act(cloud, handle, "detach_interface", port_id=OWN))[1] is None
    assert not [thing for thing in cloud.things.things() if OWN in thing]
    with pytest.raises(ServiceError, match=f"Port id {OWN} could not be found.") as refused:
        await act(cloud, handle, "detach_interface", port_id=OWN)
    assert refused.value.status == 404
    await cloud.end(handle)
    await drop(cloud, handle)


async def test_a_volume_that_is_not_the_servers_has_nothing_to_be_changed(cloud: FrameCloud) -> None:
    handle = await server(cloud, "attach_volume")
    with pytest.raises(ServiceError, match="No volume Block Device Mapping with id nothing"):
        await act(cloud, handle, "update_attachment", volume_id="nothing", delete_on_termination=True)
    await cloud.end(handle)
    with pytest.raises(ServiceError, match="is not attached to volume nothing") as refused:
        await act(cloud, handle, "detach_volume", volume_id="nothing")
    assert refused.value.status == 404
    await cloud.end(handle)
    with pytest.raises(ServiceError, match="No volume Block Device Mapping with id nothing"):
        await act(cloud, handle, "swap_volume", volume_id="nothing", new_volume_id="other", attachment_id="a")
    await cloud.end(handle)
    _, error = await act(cloud, handle, "extend_volume", volume_id="nothing")
    assert "No volume Block Device Mapping with id nothing" in str(error)
    await drop(cloud, handle)


async def test_a_server_has_64_ports_of_its_own_at_most(cloud: FrameCloud) -> None:
    """More would have ids by which the audit does not know them."""
    handle = await server(cloud, "attach_interface")
    with cloud.database.write() as session:
        row = session.get_one(Instance, instance_of(handle))
        was, row.requested_ports = row.requested_ports, {stable_id(row.id, f"port/{n}"): True for n in range(64)}
    with pytest.raises(ServiceError, match="at most 64 interfaces"):
        await act(cloud, handle, "attach_interface", network_id="n")
    await cloud.end(handle)
    with cloud.database.write() as session:
        session.get_one(Instance, instance_of(handle)).requested_ports = was
    await drop(cloud, handle)
