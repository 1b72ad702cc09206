"""What is planted for an audit to find: things of servers that are deleted, and what is not ours."""

import asyncio
import time
import uuid
from datetime import timedelta
from typing import Any

import httpx

from activities.audit import Audit
from infra.contracts.volume import GOES_WITH_IT, MADE_FOR, attached_id
from infra.host.services.neutron import MARK
from infra.openstack import service_session
from infra.tables.compute import Allocation, ConsoleToken, Instance, InstanceAction, now
from tests.ids import stable_id
from tests.resilience.host import NAME, Extra
from tests.workflows.cloud import Cloud
from workers.control import audit_of
from workers.sign_in import as_service


def claim(cloud: Cloud, instance_id: str, host: str) -> Allocation:
    row = Allocation(
        consumer_id=instance_id, instance_id=instance_id, host=host, attempt=1, vcpus=1, memory_mb=1, disk_gb=0
    )
    with cloud.database.write() as session:
        session.add(row)
    return row


def record(cloud: Cloud, **values: Any) -> str:
    """A server that is deleted, as its record says; its id."""
    about = {"vm_state": "deleted", "claims": 1, "launched_at": now(), "deleted_at": now(), **values}
    row = Instance(id=str(uuid.uuid4()), project_id=cloud.project, user_id=cloud.user, name="gone", **about)
    with cloud.database.write() as session:
        session.add(row)
    return row.id


async def guest(cloud: Cloud, extra: Extra, instance_id: str) -> None:
    """A guest on the extra host whose claim is gone, and its directory."""
    claim(cloud, instance_id, NAME)
    spec = extra.spec(cloud.request(instance_id=instance_id))
    await asyncio.to_thread(extra.host.driver.spawn, spec, lambda *_: None)
    cloud.claims.release(instance_id)


def attach(cloud: Cloud, instance_id: str, attachment_id: str | None = None, request_id: str = "") -> str:
    """A new volume, reserved for the server; the attachment's id. `request_id`: of the request that it follows from."""
    volume = cloud.post("volume", "/v3/volumes", {"volume": {"size": 1, "name": "planted"}})["volume"]
    if request_id:
        attachment_id = attached_id(instance_id, request_id, volume["id"])
    body = {"instance_uuid": instance_id, "volume_uuid": volume["id"]} | (
        {"id": attachment_id} if attachment_id else {}
    )
    headers = {"OpenStack-API-Version": "volume 3.44", "X-Auth-Token": cloud.token}
    for _ in range(50):  # the volume is not available at once
        answer = httpx.post(cloud.settings.url("volume", "/v3/attachments"), json={"attachment": body}, headers=headers)
        if answer.status_code == 200:
            break
        time.sleep(0.1)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["attachment"]["id"])


def asked(cloud: Cloud, instance_id: str, action: str) -> str:
    """An action of the server's, as its record has it; the request's id."""
    row = InstanceAction(
        instance_id=instance_id,
        request_id=f"req-{uuid.uuid4()}",
        action=action,
        user_id=cloud.user,
        project_id=cloud.project,
        finish_time=now(),
    )
    with cloud.database.write() as session:
        session.add(row)
    return row.request_id


def port(cloud: Cloud, device: str, **more: Any) -> str:
    body = {"network_id": cloud.network, "device_id": device, "device_owner": "compute:nova", **more}
    return str(cloud.post("network", "/v2.0/ports", {"port": body})["port"]["id"])


def volume(cloud: Cloud, made_for: str, **more: Any) -> str:
    marks = {MADE_FOR: made_for, GOES_WITH_IT: "True"}
    body = {"size": 1, "name": "orphan", "metadata": marks, **more}
    return str(cloud.post("volume", "/v3/volumes", {"volume": body})["volume"]["id"])


def token(cloud: Cloud, instance_id: str) -> None:
    expires = now() + timedelta(hours=1)
    with cloud.database.write() as session:
        session.add(
            ConsoleToken(token_hash=uuid.uuid4().hex, instance_id=instance_id, target="127.0.0.1:1", expires_at=expires)
        )


KINDS = ("allocation", "disk", "port", "binding", "attachment", "volume", "console_token")


def things(cloud: Cloud) -> dict[str, str]:
    """What hangs on servers that are deleted; kind → server's id."""
    ids = {kind: record(cloud) for kind in KINDS}
    claim(cloud, ids["allocation"], "node1")
    cloud.hosts["node1"].driver._paths.make_instance(ids["disk"])
    port(cloud, ids["port"], id=stable_id(ids["port"], "port/0"))
    port(cloud, ids["binding"], **{"binding:profile": {MARK: ids["binding"], "trunk": 1}})
    attach(cloud, ids["attachment"], stable_id(ids["attachment"], "attachment/0"))
    volume(cloud, ids["volume"], id=stable_id(ids["volume"], "volume/0"))
    token(cloud, ids["console_token"])
    return ids


def ports(cloud: Cloud) -> list[dict[str, Any]]:
    answer = httpx.get(cloud.settings.url("network", "/v2.0/ports"), headers={"X-Auth-Token": cloud.token})
    found: list[dict[str, Any]] = answer.json()["ports"]
    return found


def fresh_audit(cloud: Cloud) -> Audit:
    """With a catalog of its own, as it is now."""
    session = service_session(as_service(cloud.settings, "nova"))
    return audit_of(cloud.settings, cloud.client, cloud.database, session, cloud.claims)
