"""Of two requests that name one port or one volume one wins, before either is answered; the other leaves nothing."""

import asyncio
import uuid
from typing import Any

import httpx
import pytest

from api.common.errors import ServiceError
from infra.contracts.network import PortRequest
from infra.contracts.requests import Accepted, BootRequest
from infra.contracts.volume import VolumeRequest
from infra.tables.compute import Instance
from tests.ids import stable_id
from tests.resilience.planted import fresh_audit, ports
from tests.resilience.test_given_back import status, until, volume_of
from tests.workflows.cloud import Cloud

pytestmark = pytest.mark.asyncio(loop_scope="session")


def asking(cloud: Cloud, **named: Any) -> BootRequest:
    return cloud.request(**{"instance_id": str(uuid.uuid4()), "ports": [], "volumes": [], **named})


def with_port(cloud: Cloud, port_id: str) -> BootRequest:
    return asking(cloud, ports=[PortRequest(port_id=port_id, mine=False)])


def with_volume(cloud: Cloud, volume_id: str) -> BootRequest:
    id = str(uuid.uuid4())
    own = VolumeRequest(volume_id=volume_id, attachment_id=stable_id(id, "attachment/0"))
    return asking(cloud, instance_id=id, volumes=[own])


async def race(cloud: Cloud, *requests: BootRequest) -> tuple[BootRequest, BootRequest, ServiceError]:
    """(winner, loser, the loser's refusal) of requests that are sent at once."""
    cloud.faults.arm()
    answers = await asyncio.gather(*(cloud.ops.boot(each) for each in requests), return_exceptions=True)
    won = [each for each, answer in zip(requests, answers, strict=True) if isinstance(answer, Accepted)]
    lost = [(each, answer) for each, answer in zip(requests, answers, strict=True) if isinstance(answer, ServiceError)]
    assert len(won) == len(lost) == 1, answers
    return won[0], *lost[0]


async def settled(cloud: Cloud, winner: BootRequest, loser: BootRequest) -> None:
    """The winner runs, of the loser there is nothing."""
    assert await cloud.end(await cloud.begun(winner)) is None
    await cloud.end(await cloud.begun(loser))
    with cloud.database.read() as session:
        assert session.get_one(Instance, winner.instance_id).vm_state == "active"
        gone = session.get_one(Instance, loser.instance_id)
        assert gone.vm_state == "deleted" and gone.deleted_at and gone.sealed_request is None
    assert await cloud.leaks() == []


async def test_two_requests_with_one_port(cloud: Cloud) -> None:
    """Mechanism: `reserve_named` before `accept`. Both were answered 202, and usually both ended in ERROR."""
    port = cloud.post("network", "/v2.0/ports", {"port": {"network_id": cloud.network}})["port"]["id"]
    winner, loser, refusal = await race(cloud, with_port(cloud, port), with_port(cloud, port))
    assert (refusal.status, refusal.message) == (409, f"Port {port} is still in use.")
    await settled(cloud, winner, loser)
    (shown,) = (each for each in ports(cloud) if each["id"] == port)
    assert shown["device_id"] == winner.instance_id
    await cloud.delete(await cloud.begun(winner))
    assert await cloud.end(await cloud.begun(winner)) is None
    (shown,) = (each for each in ports(cloud) if each["id"] == port)
    assert (shown["device_id"], shown["binding:profile"]) == ("", {}), "the tenant's port is free again"
    url = cloud.settings.url("network", f"/v2.0/ports/{port}")
    httpx.delete(url, headers={"X-Auth-Token": cloud.token}).raise_for_status()


async def test_two_requests_with_one_volume(cloud: Cloud) -> None:
    """Mechanism: the attachment that `reserve_named` makes, as Nova's API does."""
    volume = await volume_of(cloud)
    winner, loser, refusal = await race(cloud, with_volume(cloud, volume), with_volume(cloud, volume))
    assert refusal.status == 400 and "status must be available" in refusal.message
    await settled(cloud, winner, loser)
    assert status(cloud, volume) == "in-use"
    await cloud.delete(await cloud.begun(winner))
    assert await cloud.end(await cloud.begun(winner)) is None
    await until(cloud, volume, "available")


async def test_what_was_reserved_is_given_back_when_the_request_is_refused(cloud: Cloud) -> None:
    """Mechanism: the step's undo: the volume is gone, and the port, reserved beside it, is free again."""
    port = cloud.post("network", "/v2.0/ports", {"port": {"network_id": cloud.network}})["port"]["id"]
    cloud.faults.arm()
    request = with_volume(cloud, str(uuid.uuid4()))
    request.ports = [PortRequest(port_id=port, mine=False)]
    with pytest.raises(ServiceError) as refused:
        await cloud.ops.boot(request)
    assert refused.value.status in (400, 404)
    await cloud.end(await cloud.begun(request))
    (shown,) = (each for each in ports(cloud) if each["id"] == port)
    assert shown["device_id"] == "" and (await fresh_audit(cloud).audit(repair=False)).counts == {}
    url = cloud.settings.url("network", f"/v2.0/ports/{port}")
    httpx.delete(url, headers={"X-Auth-Token": cloud.token}).raise_for_status()
