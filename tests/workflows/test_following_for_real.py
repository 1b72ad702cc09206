"""Ports and subnets changed behind our back, and nobody told: a look finds it, with the real network service.

The service's own telling is switched off in this folder's cloud (`network_events`), so that every event is lost. One
test starts a second one of the same store, which tells."""

import asyncio
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from api.common.telling import TRIES
from infra.contracts.following import FollowReport
from infra.contracts.network import drive_is_old
from infra.contracts.volume import parted_id
from infra.openstack import service_session
from infra.tables.compute import Instance
from infra.temporal import CONTROL_QUEUE
from tests.ports import free_offset
from tests.workflows.acting import request, starting
from tests.workflows.cloud import BIN, ROOT, Cloud
from tests.workflows.test_interfaces_for_real import Handle, act, macs, port
from tests.workflows.ways import WAYS
from workers.sign_in import as_service
from workflows.follow_services import FollowServices

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def look(cloud: Cloud) -> FollowReport:
    """As the schedule has it begin every minute."""
    return await cloud.client.execute_workflow(FollowServices.run, id=f"look-{uuid.uuid4()}", task_queue=CONTROL_QUEUE)


async def booted(cloud: Cloud) -> Handle:
    handle = await cloud.boot()
    assert await cloud.end(handle) is None
    return handle


async def ended(cloud: Cloud, handle: Handle) -> None:
    await cloud.delete(handle)
    await cloud.end(handle)


def held(cloud: Cloud, handle: Handle) -> list[dict[str, Any]]:
    record = cloud.record(handle)
    assert record is not None and record.task_state is None
    return record.networks


def change(cloud: Cloud, path: str, body: dict[str, Any] | None) -> None:
    """A PUT; None is a DELETE."""
    url, headers = cloud.settings.url("network", f"/v2.0{path}"), {"X-Auth-Token": cloud.token}
    answer = httpx.put(url, json=body, headers=headers) if body else httpx.delete(url, headers=headers)
    answer.raise_for_status()


def subnet_of(cloud: Cloud) -> str:
    url = cloud.settings.url("network", f"/v2.0/subnets?network_id={cloud.network}")
    return str(httpx.get(url, headers={"X-Auth-Token": cloud.token}).json()["subnets"][0]["id"])


async def test_addresses_and_names_are_followed(cloud: Cloud) -> None:
    boot, other = await booted(cloud), await booted(cloud)
    (known,), (others,) = held(cloud, boot), held(cloud, other)
    assert (await look(cloud)).refreshed == 0, "what was just plugged is what the service has"
    change(cloud, f"/ports/{known['port_id']}", {"port": {"fixed_ips": [{"ip_address": "10.7.2.7"}]}})
    found = await look(cloud)
    assert (found.servers, found.refreshed, found.left, found.away) == (2, 1, 0, "")
    (now,) = held(cloud, boot)
    assert now["fixed_ips"] == ["10.7.2.7"] and drive_is_old([now]) and held(cloud, other) == [others]
    change(cloud, f"/networks/{cloud.network}", {"network": {"name": "renamed"}})
    assert (await look(cloud)).refreshed == 0
    assert {held(cloud, each)[0]["label"] for each in (boot, other)} == {"net"}, "as when it was plugged"
    change(cloud, f"/networks/{cloud.network}", {"network": {"name": "net"}})
    await ended(cloud, boot)
    await ended(cloud, other)


@pytest.fixture
def subnet(cloud: Cloud) -> Iterator[str]:
    found = subnet_of(cloud)
    yield found
    plain = {"dns_nameservers": [], "host_routes": [], "gateway_ip": "10.7.0.1"}
    change(cloud, f"/subnets/{found}", {"subnet": plain})


@pytest.mark.parametrize(
    "changed",
    [
        {"dns_nameservers": ["10.7.0.53"]},
        {"gateway_ip": None},
        {"host_routes": [{"destination": "10.8.0.0/24", "nexthop": "10.7.0.2"}]},
    ],
    ids=lambda changed: next(iter(changed)),
)
async def test_what_a_subnet_says_is_told_at_the_next_start(cloud: Cloud, subnet: str, changed: dict[str, Any]) -> None:
    boot = await booted(cloud)
    change(cloud, f"/subnets/{subnet}", {"subnet": changed})
    assert (await look(cloud)).refreshed == 1
    assert drive_is_old(held(cloud, boot))
    assert (await look(cloud)).refreshed == 0, "it is noted once"
    await act(cloud, boot, "os-stop")
    cloud.faults.arm()
    await act(cloud, boot, "os-start")
    assert "plug_ports" in cloud.faults.ran, "made anew from what the services say"
    assert not drive_is_old(held(cloud, boot))
    cloud.faults.arm()
    await act(cloud, boot, "os-stop")
    await act(cloud, boot, "os-start")
    assert "plug_ports" not in cloud.faults.ran
    await ended(cloud, boot)


async def test_a_network_s_mtu_is_told_at_the_next_start(cloud: Cloud) -> None:
    """Mechanism: the MTU in `digest_of`. A start and a soft reboot had the drive of before, a hard reboot alone the new
    one."""
    boot = await booted(cloud)
    url = cloud.settings.url("network", f"/v2.0/networks/{cloud.network}")
    before = httpx.get(url, headers={"X-Auth-Token": cloud.token}).json()["network"]["mtu"]
    change(cloud, f"/networks/{cloud.network}", {"network": {"mtu": before - 50}})
    try:
        assert (await look(cloud)).refreshed == 1 and drive_is_old(held(cloud, boot))
        assert (await look(cloud)).refreshed == 0
        await act(cloud, boot, "reboot", type="SOFT")
        assert not drive_is_old(held(cloud, boot))
    finally:
        change(cloud, f"/networks/{cloud.network}", {"network": {"mtu": before}})
    await ended(cloud, boot)


async def test_a_port_that_was_deleted_leaves_its_guest(cloud: Cloud) -> None:
    boot = await booted(cloud)
    (known,) = held(cloud, boot)
    made = await act(cloud, boot, "attach_interface", network_id=cloud.network)
    change(cloud, f"/ports/{known['port_id']}", None)
    found = await look(cloud)
    assert (found.gone, found.refreshed, found.left) == (1, 0, 0)
    assert [each["port_id"] for each in held(cloud, boot)] == [made]
    kept = port(cloud, made)
    assert kept is not None and macs(cloud, boot) == [kept["mac_address"]]
    assert await cloud.leaks() == []
    await ended(cloud, boot)


async def test_a_port_that_is_anothers_by_now_leaves_it_and_stays_theirs(cloud: Cloud) -> None:
    boot = await booted(cloud)
    own = cloud.post("network", "/v2.0/ports", {"port": {"network_id": cloud.network}})["port"]
    await act(cloud, boot, "attach_interface", port_id=own["id"])
    theirs = str(uuid.uuid4())
    change(cloud, f"/ports/{own['id']}", {"port": {"device_id": ""}})
    assert (await look(cloud)).gone == 0, "nobody has it: a hard reboot takes it again"
    change(cloud, f"/ports/{own['id']}", {"port": {"device_id": theirs}})
    assert (await look(cloud)).gone == 1
    kept = port(cloud, own["id"])
    assert kept is not None and kept["device_id"] == theirs
    assert own["id"] not in [each["port_id"] for each in held(cloud, boot)]
    await ended(cloud, boot)
    change(cloud, f"/ports/{own['id']}", None)


@pytest.mark.parametrize(("there", "back"), [("suspend", "resume"), ("pause", "unpause")])
async def test_a_guest_that_can_give_nothing_back_keeps_the_port_and_shows_no_address(
    cloud: Cloud, there: str, back: str
) -> None:
    boot = await booted(cloud)
    (known,) = held(cloud, boot)
    await act(cloud, boot, there)
    change(cloud, f"/ports/{known['port_id']}", None)
    found = await look(cloud)
    assert (found.gone, found.refreshed) == (0, 1)
    assert held(cloud, boot) == [known | {"fixed_ips": []}]
    found = await look(cloud)
    assert (found.gone, found.refreshed) == (0, 0), "there is nothing more to do"
    await act(cloud, boot, back)
    assert (await look(cloud)).gone == 1
    assert held(cloud, boot) == [] and macs(cloud, boot) == []
    await ended(cloud, boot)


async def test_a_busy_server_is_left_to_the_next_look(cloud: Cloud) -> None:
    boot = await booted(cloud)
    (known,) = held(cloud, boot)
    change(cloud, f"/ports/{known['port_id']}", {"port": {"fixed_ips": [{"ip_address": "10.7.2.8"}]}})
    cloud.faults.arm(hold="power_off")
    begun = starting(cloud, boot, "os-stop")
    await cloud.faults.held.wait()
    found = await look(cloud)
    assert (found.servers, found.refreshed) == (0, 0), "its operation answers for it"
    cloud.faults.release.set()
    await begun
    await cloud.end(boot)
    assert (await look(cloud)).refreshed == 1
    assert held(cloud, boot)[0]["fixed_ips"] == ["10.7.2.8"]
    await ended(cloud, boot)


@pytest.fixture
def telling(cloud: Cloud) -> Iterator[str]:
    """A network service that tells; its URL."""
    s = cloud.settings.model_copy(update={"port_offset": (port_offset := free_offset())})
    env = {**os.environ, "KILONOVA_STATE_DIR": str(s.state_dir), "KILONOVA_PORT_OFFSET": str(port_offset)}
    env |= {"KILONOVA_AUTH_URL": cloud.settings.identity_url}
    process = subprocess.Popen([str(BIN / "kilonova"), "api", "--service", "network"], env=env, cwd=ROOT)
    try:
        yield s.url("network", "/v2.0")
    finally:
        process.terminate()
        process.wait(10)


async def until(found: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not found():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def test_what_is_told_needs_no_look(cloud: Cloud, telling: str) -> None:
    boot = await booted(cloud)
    (known,) = held(cloud, boot)
    headers = {"X-Auth-Token": cloud.token}

    def is_up() -> bool:
        try:
            return bool(httpx.get(f"{telling}/ports", headers=headers).status_code == 200)
        except httpx.HTTPError:
            return False

    await until(is_up)
    moved = {"port": {"fixed_ips": [{"ip_address": "10.7.2.9"}]}}
    answer = await asyncio.to_thread(httpx.put, f"{telling}/ports/{known['port_id']}", json=moved, headers=headers)
    answer.raise_for_status()

    def networks() -> list[dict[str, Any]]:
        record = cloud.record(boot)
        return record.networks if record and record.task_state is None else [{"fixed_ips": []}]

    await until(lambda: networks()[0]["fixed_ips"] == ["10.7.2.9"])
    await cloud.end(boot)
    await asyncio.to_thread(httpx.delete, f"{telling}/ports/{known['port_id']}", headers=headers)
    await until(lambda: networks() == [])
    await cloud.end(boot)
    assert macs(cloud, boot) == []
    await ended(cloud, boot)


async def test_a_volume_that_grew_while_its_server_was_busy_is_told_of_by_a_look(cloud: Cloud) -> None:
    """The volume service tells for some seconds; a stop that takes longer has all of it refused."""
    boot = await booted(cloud)
    record = cloud.record(boot)
    assert record is not None
    (volume,) = record.volumes
    assert volume["size_gb"] == 1 and (await look(cloud)).grown == 0
    cloud.faults.arm(hold="power_off")
    begun = starting(cloud, boot, "os-stop")
    await cloud.faults.held.wait()
    url = cloud.settings.url("volume", f"/v3/volumes/{volume['volume_id']}/action")
    headers = {"X-Auth-Token": cloud.token, "OpenStack-API-Version": "volume 3.42"}
    httpx.post(url, json={"os-extend": {"new_size": 2}}, headers=headers).raise_for_status()
    log = cloud.settings.state_dir / "services.log"

    def refusals() -> int:
        return sum("compute told" in line and volume["volume_id"] in line for line in log.read_text().splitlines())

    await until(lambda: refusals() == TRIES)
    cloud.faults.release.set()
    await begun
    await cloud.end(boot)
    cloud.faults.arm()
    found = await look(cloud)
    assert (found.grown, found.left) == (1, 0) and "grow_disk" in cloud.faults.ran
    record = cloud.record(boot)
    assert record is not None and record.volumes == [volume | {"size_gb": 2}]
    assert (await look(cloud)).grown == 0, "told once"
    await ended(cloud, boot)


def at_volumes(cloud: Cloud, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """As the compute service may, and an operator."""
    session = service_session(as_service(cloud.settings, "nova"))
    url, headers = cloud.settings.url("volume", f"/v3{path}"), {"OpenStack-API-Version": "volume 3.44"}
    return session.request(url, method, json=body, headers=headers, raise_exc=False)


def volumes(cloud: Cloud, handle: Handle) -> list[dict[str, Any]]:
    record = cloud.record(handle)
    assert record is not None and record.task_state is None
    return list(record.volumes)


async def test_a_volume_whose_attachment_was_ended_leaves_its_guest(cloud: Cloud) -> None:
    """Another server has it by then, and keeps it. A guest that is paused gives nothing back, and is asked later."""
    boot, theirs = await booted(cloud), str(uuid.uuid4())
    (held,) = volumes(cloud, boot)
    assert (await look(cloud)).released == 0
    await act(cloud, boot, "pause")
    assert at_volumes(cloud, "DELETE", f"/attachments/{held['attachment_id']}").status_code == 200
    taken = {"attachment": {"volume_uuid": held["volume_id"], "instance_uuid": theirs}}
    other = at_volumes(cloud, "POST", "/attachments", taken).json()["attachment"]["id"]
    assert (await look(cloud)).released == 0 and volumes(cloud, boot) == [held]
    await act(cloud, boot, "unpause")
    found = await look(cloud)
    assert (found.released, found.left, found.away) == (1, 0, "")
    assert volumes(cloud, boot) == [] and (await look(cloud)).released == 0
    kept = at_volumes(cloud, "GET", f"/attachments/{other}")
    assert kept.status_code == 200 and kept.json()["attachment"]["instance"] == theirs
    await act(cloud, boot, "reboot", type="HARD")
    assert volumes(cloud, boot) == [], "it does not come back"
    await ended(cloud, boot)
    assert at_volumes(cloud, "GET", f"/volumes/{held['volume_id']}").status_code == 200, "and is not deleted with it"
    assert at_volumes(cloud, "DELETE", f"/attachments/{other}").status_code == 200
    assert at_volumes(cloud, "DELETE", f"/volumes/{held['volume_id']}").status_code == 202


async def test_a_stopped_server_loses_it_as_well(cloud: Cloud) -> None:
    """As one whose guest met the dead disk, and was stopped by its owner. Of another volume nothing changes."""
    boot = await booted(cloud)
    await act(cloud, boot, "os-stop")
    (held,) = volumes(cloud, boot)
    made = await asyncio.to_thread(cloud.post, "volume", "/v3/volumes", {"volume": {"size": 1}})
    second = str(made["volume"]["id"])
    await until(lambda: at_volumes(cloud, "GET", f"/volumes/{second}").json()["volume"]["status"] == "available")
    await act(cloud, boot, "attach_volume", volume_id=second, attachment_id=str(uuid.uuid4()))
    assert at_volumes(cloud, "DELETE", f"/attachments/{held['attachment_id']}").status_code == 200
    found = await look(cloud)
    assert (found.released, found.left, found.away) == (1, 0, "")
    assert [volume["volume_id"] for volume in volumes(cloud, boot)] == [second]
    await ended(cloud, boot)
    for volume_id in (second, held["volume_id"]):
        assert at_volumes(cloud, "DELETE", f"/volumes/{volume_id}").status_code == 202


async def test_a_volume_that_was_parting_with_its_host_stays_its_servers(cloud: Cloud) -> None:
    """A host fell silent between the one attachment's end and its new beginning. Meanwhile the other one keeps the
    volume for its server: a look took it away, and left it reserved for nobody."""
    boot = await booted(cloud)
    (held,) = volumes(cloud, boot)
    other = parted_id(boot.id.removeprefix("server-"), held["volume_id"])
    kept = {"id": other, "volume_uuid": held["volume_id"], "instance_uuid": boot.id.removeprefix("server-")}
    assert at_volumes(cloud, "POST", "/attachments", {"attachment": kept}).status_code == 200
    assert at_volumes(cloud, "DELETE", f"/attachments/{held['attachment_id']}").status_code == 200
    assert (await look(cloud)).released == 0 and volumes(cloud, boot) == [held]
    await act(cloud, boot, "reboot", type="HARD")
    assert at_volumes(cloud, "GET", f"/attachments/{held['attachment_id']}").status_code == 200
    await ended(cloud, boot)
    assert at_volumes(cloud, "GET", f"/attachments/{other}").status_code == 404


async def test_one_whose_guest_gave_nothing_back_is_asked_again_once_it_is_off(cloud: Cloud) -> None:
    """Mechanism: FollowedRecords.failed_lately. A guest that waits for the dead disk gives nothing back, and its owner
    stops it: until the next hour the record would have had the volume taken again by a start."""
    boot = await booted(cloud)
    (held,) = volumes(cloud, boot)
    assert at_volumes(cloud, "DELETE", f"/attachments/{held['attachment_id']}").status_code == 200
    cloud.faults.arm(fail_before="unplug_disk")
    found = await look(cloud)
    assert (found.released, found.left) == (0, 1)
    cloud.faults.arm()
    assert (await look(cloud)).released == 0 and "unplug_disk" not in cloud.faults.ran, "not each minute"
    await act(cloud, boot, "os-stop")
    assert (await look(cloud)).released == 1 and volumes(cloud, boot) == []
    await ended(cloud, boot)
    assert at_volumes(cloud, "DELETE", f"/volumes/{held['volume_id']}").status_code == 202


async def test_no_boot_takes_it_again(cloud: Cloud) -> None:
    """Mechanism: `held`. A hard reboot, or a start, before the look had the volume attached anew, as if nobody had
    ended that; the guest runs on as it was, or stays off."""
    boot = await booted(cloud)
    (held,) = volumes(cloud, boot)
    attachment = f"/attachments/{held['attachment_id']}"
    assert at_volumes(cloud, "DELETE", attachment).status_code == 200
    refused = f"The attachment of volume {held['volume_id']} to this server was ended; detach it first."
    cloud.faults.arm()
    await cloud.ops.start(*request(cloud, boot, "reboot"))
    assert refused in str(await cloud.end(boot)) and "power_off" not in cloud.faults.ran
    record = cloud.record(boot)
    assert record is not None and (record.vm_state, record.task_state, record.power_state) == ("active", None, 1)
    assert at_volumes(cloud, "GET", attachment).status_code == 404
    assert (await look(cloud)).released == 1 and volumes(cloud, boot) == []
    await act(cloud, boot, "reboot", type="HARD")
    await ended(cloud, boot)
    assert at_volumes(cloud, "DELETE", f"/volumes/{held['volume_id']}").status_code == 202


async def test_neither_leaving_its_host_nor_coming_back_takes_it_again(cloud: Cloud) -> None:
    """Mechanism: `held` of what comes to a host, and `Volumes.part`. Both had the volume attached anew."""
    boot = await booted(cloud)
    (held,) = volumes(cloud, boot)
    ours = [held["attachment_id"], parted_id(boot.id.removeprefix("server-"), held["volume_id"])]
    await act(cloud, boot, "shelve", **WAYS["shelve"].body)
    assert at_volumes(cloud, "DELETE", f"/attachments/{ours[0]}").status_code == 200
    await act(cloud, boot, "shelveOffload")
    await cloud.ops.start(*request(cloud, boot, "unshelve"))
    assert "was ended; detach it first" in str(await cloud.end(boot))
    record = cloud.record(boot)
    assert record is not None and (record.vm_state, record.host) == ("shelved_offloaded", None)
    assert {at_volumes(cloud, "GET", f"/attachments/{id}").status_code for id in ours} == {404}
    assert (await look(cloud)).released == 1 and volumes(cloud, boot) == []
    await act(cloud, boot, "unshelve")
    await ended(cloud, boot)
    assert at_volumes(cloud, "DELETE", f"/volumes/{held['volume_id']}").status_code == 202


@pytest.mark.parametrize("vm_state", ["error", "suspended"])
async def test_one_whose_owner_may_detach_nothing_loses_it_too(cloud: Cloud, vm_state: str) -> None:
    """A hard reboot, which is what helps such a server, was refused until it was detached, and that was refused too."""
    boot = await booted(cloud)
    await act(cloud, boot, "suspend")
    with cloud.database.write() as session:
        session.get_one(Instance, boot.id.removeprefix("server-")).vm_state = vm_state
    (held,) = volumes(cloud, boot)
    assert (await look(cloud)).released == 0
    assert at_volumes(cloud, "DELETE", f"/attachments/{held['attachment_id']}").status_code == 200
    found = await look(cloud)
    assert (found.released, found.left, found.away) == (1, 0, "") and volumes(cloud, boot) == []
    record = cloud.record(boot)
    assert record is not None and record.vm_state == vm_state
    await act(cloud, boot, "reboot", type="HARD")
    await ended(cloud, boot)
    assert at_volumes(cloud, "DELETE", f"/volumes/{held['volume_id']}").status_code == 202


async def test_a_build_that_failed_keeps_what_it_asks_for_again(cloud: Cloud) -> None:
    boot = await cloud.boot(fail_after="spawn")
    assert await cloud.end(boot) is not None
    held = volumes(cloud, boot)
    assert held and (await look(cloud)).released == 0 and volumes(cloud, boot) == held
    await ended(cloud, boot)


async def test_a_service_that_knows_neither_volume_nor_attachment_takes_nothing(cloud: Cloud) -> None:
    """It lost its store, or is another one: unknown is not absent."""
    boot = await booted(cloud)
    (held,) = volumes(cloud, boot)
    assert at_volumes(cloud, "DELETE", f"/attachments/{held['attachment_id']}").status_code == 200
    assert at_volumes(cloud, "DELETE", f"/volumes/{held['volume_id']}").status_code == 202
    await until(lambda: at_volumes(cloud, "GET", f"/volumes/{held['volume_id']}").status_code == 404)
    assert (await look(cloud)).released == 0 and volumes(cloud, boot) == [held]
    await ended(cloud, boot)
