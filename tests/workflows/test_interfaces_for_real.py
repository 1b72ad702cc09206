"""Interfaces with the real steps and the real network service, on libvirt's test driver."""

from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from api.common.errors import ServiceError
from infra.contracts.operation import ActionRequest
from tests.workflows.acting import Handle
from tests.workflows.cloud import Cloud
from tests.workflows.servers import instance_of
from workflows.actions import ACTIONS

pytestmark = pytest.mark.asyncio(loop_scope="session")


def macs(cloud: Cloud, handle: Handle) -> list[str]:
    """Of the guest's interfaces, in their order, as it starts with them."""
    record = cloud.record(handle)
    assert record and record.host
    xml = cloud.hosts[record.host].driver.definitions.read(record.id)
    return [mac.get("address", "") for mac in ElementTree.fromstring(xml or "").iterfind("./devices/interface/mac")]


def port(cloud: Cloud, port_id: str) -> dict[str, Any] | None:
    url = cloud.settings.url("network", f"/v2.0/ports/{port_id}")
    answer = httpx.get(url, headers={"X-Auth-Token": cloud.token})
    return dict(answer.json()["port"]) if answer.status_code == 200 else None


async def act(cloud: Cloud, handle: Handle, name: str, /, **body: Any) -> str:
    action = ACTIONS[name]
    asked = ActionRequest(
        requester=cloud.requester(),
        instance_id=instance_of(handle),
        action=name,
        transition=action.transition_for(body),
        body=body,
    )
    accepted = await cloud.ops.start(action, asked)
    assert await cloud.end(handle) is None
    return str(accepted.answer.get("port_id"))


async def test_ports_come_and_go(cloud: Cloud) -> None:
    boot = await cloud.boot()
    assert await cloud.end(boot) is None
    (first,) = macs(cloud, boot)
    made = await act(cloud, boot, "attach_interface", network_id=cloud.network, fixed_ip="10.7.1.9", tag="back")
    shown = port(cloud, made)
    assert shown and shown["device_id"] == instance_of(boot)
    assert shown["fixed_ips"][0]["ip_address"] == "10.7.1.9"
    own = cloud.post("network", "/v2.0/ports", {"port": {"network_id": cloud.network}})["port"]
    assert await act(cloud, boot, "attach_interface", port_id=own["id"]) == own["id"]
    assert macs(cloud, boot) == [first, shown["mac_address"], own["mac_address"]]
    record = cloud.record(boot)
    assert record and [known["tag"] for known in record.networks] == [None, "back", None]
    assert record.networks[1]["fixed_ips"] == ["10.7.1.9"]
    assert await cloud.leaks() == []
    await act(cloud, boot, "detach_interface", port_id=made)
    assert port(cloud, made) is None, "a port that was made for the server goes with it"
    await act(cloud, boot, "os-stop")
    await act(cloud, boot, "detach_interface", port_id=own["id"])
    kept = port(cloud, own["id"])
    assert kept and (kept["device_id"], kept["binding:host_id"]) == ("", ""), "the tenant's own is only let go"
    assert macs(cloud, boot) == [first]
    again = await act(cloud, boot, "attach_interface", network_id=cloud.network)
    assert again == made, "its number is free again"
    assert await cloud.leaks() == []
    await cloud.delete(boot)
    await cloud.end(boot)
    assert port(cloud, again) is None and port(cloud, own["id"])


async def test_groups_are_on_all_ports_or_on_none(cloud: Cloud) -> None:
    boot = await cloud.boot()
    assert await cloud.end(boot) is None
    made = await act(cloud, boot, "attach_interface", network_id=cloud.network)
    group = cloud.post("network", "/v2.0/security-groups", {"security_group": {"name": "web"}})["security_group"]["id"]
    record = cloud.record(boot)
    assert record
    ports = [known["port_id"] for known in record.networks]
    wish = {"name": "web", "group_id": group}

    def having() -> list[bool]:
        return [group in (port(cloud, port_id) or {})["security_groups"] for port_id in ports]

    for _ in range(2):
        await act(cloud, boot, "addSecurityGroup", **wish)
        assert having() == [True, True]
    url = cloud.settings.url("network", f"/v2.0/ports/{made}")
    alone = {"port": {"security_groups": []}}
    httpx.put(url, json=alone, headers={"X-Auth-Token": cloud.token}).raise_for_status()
    cloud.faults.arm(fail_after="change_groups")
    with pytest.raises(ServiceError, match="injected"):
        await act(cloud, boot, "addSecurityGroup", **wish)
    await cloud.end(boot)
    assert having() == [True, False], "the undo takes it only from where it was not before"
    cloud.faults.arm()
    await act(cloud, boot, "removeSecurityGroup", **wish)
    assert having() == [False, False]
    with pytest.raises(ServiceError, match="Security group web not associated with the instance") as refused:
        await act(cloud, boot, "removeSecurityGroup", **wish)
    assert refused.value.status == 404
    await cloud.end(boot)
    for port_id in ports:
        await act(cloud, boot, "detach_interface", port_id=port_id)
    with pytest.raises(ServiceError, match="could not be found as device id on any ports"):
        await act(cloud, boot, "addSecurityGroup", **wish)
    await cloud.end(boot)
    await cloud.delete(boot)
    await cloud.end(boot)


async def test_what_changed_behind_our_back_is_followed(cloud: Cloud) -> None:
    """As `os-server-external-events` begins it for network-changed and network-vif-deleted."""
    boot = await cloud.boot()
    assert await cloud.end(boot) is None
    record = cloud.record(boot)
    assert record
    (known,) = record.networks
    url = cloud.settings.url("network", f"/v2.0/ports/{known['port_id']}")
    moved = {"port": {"fixed_ips": [{"ip_address": "10.7.2.2"}]}}
    httpx.put(url, json=moved, headers={"X-Auth-Token": cloud.token}).raise_for_status()
    await act(cloud, boot, "refresh_network")
    record = cloud.record(boot)
    assert record
    (moved_to,) = record.networks
    assert moved_to == known | {"fixed_ips": ["10.7.2.2"], "now": moved_to["now"]}
    assert moved_to["now"] != moved_to["told"], "its config drive tells of the other address"
    httpx.delete(url, headers={"X-Auth-Token": cloud.token}).raise_for_status()
    await act(cloud, boot, "detach_interface", port_id=known["port_id"])
    record = cloud.record(boot)
    assert record and record.networks == [] and macs(cloud, boot) == []
    assert await cloud.leaks() == []
    await cloud.delete(boot)
    await cloud.end(boot)
