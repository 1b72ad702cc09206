"""`openstack server event show`: each step with host, attempt, start, end, result, error text; while it builds, too.

Switched off by: `Operations.progress` answering [], or `StepLog` not noting an end."""

import asyncio
import json
import os
import subprocess
from datetime import datetime
from typing import Any

import pytest

from tests.signed_in import environment
from tests.workflows.cloud import Cloud
from tests.workflows.tenant import Tenant

pytestmark = pytest.mark.asyncio(loop_scope="session")
STEPS = {"fetch_to_host", "plug_ports", "spawn"}


class Made:
    """What servers are made of, once per run."""

    def __init__(self, cloud: Cloud) -> None:
        self.admin, self.demo = Tenant(cloud.settings), Tenant(cloud.settings, "demo")
        self.parts = self.admin.image(), self.admin.flavor(), self.admin.network()


@pytest.fixture(scope="module")
def made(cloud: Cloud) -> Made:
    return Made(cloud)


def by_name(events: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {event["event"]: event for event in reversed(events)}


def took(event: dict[str, Any]) -> float:
    begun, ended = (datetime.fromisoformat(event[k]) for k in ("start_time", "finish_time"))
    return (ended - begun).total_seconds()


async def boot(cloud: Cloud, made: Made, as_user: Tenant, **faults: Any) -> str:
    cloud.faults.arm(**faults)
    return await asyncio.to_thread(as_user.server, *made.parts)


async def remove(cloud: Cloud, tenant: Tenant, server: str) -> None:
    cloud.faults.arm()
    await asyncio.to_thread(tenant.call, "DELETE", "compute", f"/v2.1/servers/{server}")
    await cloud.end(cloud.client.get_workflow_handle(f"server-{server}"))


async def test_steps_are_shown_while_it_builds_and_after(cloud: Cloud, made: Made) -> None:
    server = await boot(cloud, made, made.admin, hold="spawn")
    await cloud.faults.held.wait()
    action, events = await asyncio.to_thread(made.admin.events, server)
    live = by_name(events)
    assert action["action"] == "create"
    assert live["spawn"]["result"] is None and live["spawn"]["finish_time"] is None
    assert live["spawn"]["host"] in ("node1", "node2")
    assert live["plug_ports"]["result"] == "Success"
    cloud.faults.release.set()
    assert await asyncio.to_thread(made.admin.until, server, "ACTIVE", "ERROR") == "ACTIVE"
    _, events = await asyncio.to_thread(made.admin.events, server)
    stored = by_name(events)
    assert events[0]["event"] == "mark_active", "the newest first; what writes the steps is one of them"
    assert set(live) <= set(stored)
    assert all(event["result"] == "Success" and took(event) >= 0 for event in events)
    assert {stored[step]["host"] for step in STEPS} == {live["spawn"]["host"]}
    assert took(stored["spawn"]) > 0
    await remove(cloud, made.admin, server)


async def test_another_try_and_another_host_are_seen(cloud: Cloud, made: Made) -> None:
    server = await boot(cloud, made, made.admin, fail_before="spawn", kind="Transient", times=2)
    assert await asyncio.to_thread(made.admin.until, server, "ACTIVE", "ERROR") == "ACTIVE"
    _, events = await asyncio.to_thread(made.admin.events, server)
    assert by_name(events)["spawn (attempt 3)"]["result"] == "Success"
    await remove(cloud, made.admin, server)
    server = await boot(cloud, made, made.admin, fail_after="spawn", kind="HostCannot", times=1)
    assert await asyncio.to_thread(made.admin.until, server, "ACTIVE", "ERROR") == "ACTIVE"
    _, events = await asyncio.to_thread(made.admin.events, server)
    spawns = {event["host"]: event for event in events if event["event"] == "spawn"}
    assert set(spawns) == {"node1", "node2"}
    assert sorted(event["result"] for event in spawns.values()) == ["Error", "Success"]
    failed = next(event for event in spawns.values() if event["result"] == "Error")
    assert failed["details"] == "injected at spawn"
    await remove(cloud, made.admin, server)


async def test_who_may_see_what(cloud: Cloud, made: Made) -> None:
    server = await boot(cloud, made, made.demo, fail_before="spawn")
    assert await asyncio.to_thread(made.demo.until, server, "ACTIVE", "ERROR") == "ERROR"
    action, mine = await asyncio.to_thread(made.demo.events, server)
    assert action["message"] == "Error"
    failed = by_name(mine)["spawn"]
    assert failed["result"] == "Error" and failed["hostId"]
    assert not {"host", "traceback", "details"} & set(failed)
    end, admins = cloud.client.get_workflow_handle(f"server-{server}"), Tenant(cloud.settings)
    await cloud.end(end)
    path = f"/v2.1/servers/{server}/os-instance-actions/{action['request_id']}"
    seen = await asyncio.to_thread(admins.call, "GET", "compute", path)
    failed = by_name(seen["instanceAction"]["events"])["spawn"]
    assert failed["host"] in ("node1", "node2")
    assert (failed["traceback"], failed["details"]) == ("injected at spawn", "injected at spawn")
    older = await asyncio.to_thread(admins.events, server, "2.83")
    assert "details" not in by_name(older[1])["spawn"]
    await remove(cloud, made.demo, server)


async def test_a_build_that_a_delete_cut_off_has_an_end(cloud: Cloud, made: Made) -> None:
    server = await boot(cloud, made, made.admin, hold="spawn")
    await cloud.faults.held.wait()
    await asyncio.to_thread(made.admin.call, "DELETE", "compute", f"/v2.1/servers/{server}")
    cloud.faults.release.set()
    await cloud.end(cloud.client.get_workflow_handle(f"server-{server}"))
    path = f"/v2.1/servers/{server}/os-instance-actions"
    listed = (await asyncio.to_thread(made.admin.call, "GET", "compute", path))["instanceActions"]
    assert [action["action"] for action in listed] == ["delete", "create"]
    create = (await asyncio.to_thread(made.admin.call, "GET", "compute", f"{path}/{listed[1]['request_id']}"))[
        "instanceAction"
    ]
    assert create["message"] == "Error"
    assert by_name(create["events"])["plug_ports"]["result"] == "Success"
    deleted = (await asyncio.to_thread(made.admin.call, "GET", "compute", f"{path}/{listed[0]['request_id']}"))[
        "instanceAction"
    ]
    assert by_name(deleted["events"])["begin_delete"]["result"] == "Success"
    assert not by_name(create["events"]).get("begin_delete")  # the delete's steps are its own


async def test_the_openstack_client_shows_them(cloud: Cloud, made: Made, openstack_client: str) -> None:
    server = await boot(cloud, made, made.admin)
    assert await asyncio.to_thread(made.admin.until, server, "ACTIVE", "ERROR") == "ACTIVE"
    action, _ = await asyncio.to_thread(made.admin.events, server)
    env = {k: v for k, v in os.environ.items() if not k.startswith("OS_")}
    env |= environment(cloud.settings, "admin") | {"OS_COMPUTE_API_VERSION": "2.104"}
    argv = [openstack_client, "server", "event", "show", "-f", "json", server, action["request_id"]]
    done = await asyncio.to_thread(subprocess.run, argv, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    spawn = next(event for event in json.loads(done.stdout)["events"] if event["event"] == "spawn")
    assert spawn["result"] == "Success" and spawn["host"] in ("node1", "node2") and spawn["finish_time"]
    await remove(cloud, made.admin, server)
