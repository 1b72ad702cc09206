"""Nothing is lost: a request sent again is the same request, and a step whose process dies is done by the next one."""

import asyncio
import contextlib
import json
import signal
import uuid

import pytest

from infra.settings import Settings
from tests.resilience.processes import Processes, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_same_key_is_one_server_even_when_the_first_caller_died(real: Processes) -> None:
    """Mechanism: the server's id comes from the Idempotency-Key, and so do the workflow's id and the update's."""
    t = real.tenants
    key, settings = f"key-{uuid.uuid4()}", Settings(state_dir=real.state_dir, port_offset=real.offset)
    body = json.dumps(real.server(key)).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", settings.port("compute"))
    head = f"POST /v2.1/servers HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {t.tenants[0].token}\r\nIdempotency-Key: {key}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.transport.abort()  # nobody waits for the answer
    answers = [
        await real.ask(
            "POST", "/servers", content=body, headers={"Idempotency-Key": key, "Content-Type": "application/json"}
        )
        for _ in range(2)
    ]
    assert {answer.status_code for answer in answers} == {202}
    assert answers[0].json() == answers[1].json()  # the password, too
    server_id = answers[0].json()["server"]["id"]
    listed = (await real.ask("GET", f"/servers?name={key}")).json()["servers"]
    assert [server["id"] for server in listed] == [server_id]
    assert (await real.settled(server_id))["status"] == "ACTIVE"
    await real.delete(server_id)


async def test_an_api_killed_while_it_answers_makes_no_second_server(real: Processes) -> None:
    """Mechanism: the same; the request is sent again after kill -9 of the API in the middle of it."""
    key = f"key-{uuid.uuid4()}"
    asking = asyncio.create_task(real.boot(key, key))
    await asyncio.sleep(0.03)
    real.kill("api-compute")
    server_id = await asking
    assert (await real.boot(key, key)) == server_id
    listed = (await real.ask("GET", f"/servers?name={key}")).json()["servers"]
    assert [server["id"] for server in listed] == [server_id]
    assert (await real.settled(server_id))["status"] == "ACTIVE"
    await real.delete(server_id)


async def test_workers_killed_in_the_middle_of_steps_lose_nothing(real: Processes) -> None:
    """Mechanism: a step whose worker died is given to the next one (heartbeat timeout, saga.RETRY; local
    activities begin again with the workflow task), and every step finds what the dead one left."""
    points = real.fail_at("claim_host.after", "mark_active.before", "plug_ports.after", "spawn.after")
    servers = [await real.boot(f"killed-{n}") for n in range(3)]
    for server_id in servers:
        assert (await real.settled(server_id, 120))["status"] == "ACTIVE"
    assert not [point.name for point in points if point.exists()], "a process was to die there"
    report = await real.leaks()
    assert (report["findings"], report["instances"]) == ([], 3)
    shown = await real.command("build", "watch", "--once", servers[0])
    assert shown.returncode == 0 and "spawn" in shown.stdout and "is ACTIVE" in shown.stdout, shown.stdout
    points = real.fail_at("destroy.after", "finish_delete.before")
    await real.delete(*servers)
    assert not [point.name for point in points if point.exists()]
    report = await real.leaks()
    assert (report["findings"], report["instances"]) == ([], 0)


async def test_a_stopped_worker_s_build_moves_and_it_does_no_harm_when_it_goes_on(real: Processes) -> None:
    """Mechanism: Operation._watch over a host whose process hangs (SIGSTOP: it answers nothing, and nobody restarts
    it), then Heartbeat's reconciles and the fences of ports and claims when it goes on with the steps it had taken."""
    services = (await real.as_admin("GET", "/os-services?binary=nova-compute")).json()["services"]
    ids = {service["host"]: service["id"] for service in services}

    async def switch(host: str, status: str) -> None:
        wish = {"host": host, "binary": "nova-compute"}
        path = "/os-services/" + ("disable" if status == "disabled" else "enable")
        headers = {"OpenStack-API-Version": "compute 2.52"}
        answer = await real.as_admin("PUT", path, json=wish, headers=headers)
        assert answer.status_code == 200, answer.text

    assert set(ids) == {"node1", "node2"}
    await switch("node2", "disabled")
    pid = real.kill("worker-compute-node1", signal.SIGSTOP)
    try:
        server_id = await real.boot("moved")

        async def claimed() -> bool:
            server = (await real.as_admin("GET", f"/servers/{server_id}")).json()["server"]
            return bool(server["OS-EXT-SRV-ATTR:host"] == "node1")

        await until(claimed)
        await switch("node2", "enabled")
        server = await real.settled(server_id, 120)
        assert (server["status"], server["OS-EXT-SRV-ATTR:host"]) == ("ACTIVE", "node2")
    finally:
        with contextlib.suppress(ProcessLookupError):
            real.kill("worker-compute-node1", signal.SIGCONT)
    assert real.tenants.pids()["worker-compute-node1"] == pid  # it went on, it was not started anew
    await real.clean(1)  # once both hosts answer again; a step that was begun before the silence may end last
    server = (await real.as_admin("GET", f"/servers/{server_id}")).json()["server"]
    assert (server["status"], server["OS-EXT-SRV-ATTR:host"]) == ("ACTIVE", "node2")
    ports = await real.tenants.sure(real.tenants.admin, "GET", "network", f"/v2.0/ports?device_id={server_id}")
    assert [port["binding:host_id"] for port in ports.json()["ports"]] == ["node2"]
    await real.delete(server_id)


async def test_a_failed_build_is_retried_from_the_command_line(real: Processes) -> None:
    """Mechanism: Operations.retry behind `kilonova build retry`."""
    services = ("node1", "node2")
    headers = {"OpenStack-API-Version": "compute 2.52"}
    for host in services:
        wish = {"host": host, "binary": "nova-compute"}
        await real.as_admin("PUT", "/os-services/disable", json=wish, headers=headers)
    server_id = await real.boot("again")
    assert (await real.settled(server_id))["status"] == "ERROR"
    for host in services:
        wish = {"host": host, "binary": "nova-compute"}
        await real.as_admin("PUT", "/os-services/enable", json=wish, headers=headers)

    async def up() -> bool:
        found = (await real.as_admin("GET", "/os-services?binary=nova-compute")).json()["services"]
        return all((s["state"], s["status"]) == ("up", "enabled") for s in found)

    await until(up)
    done = await real.command("build", "retry", server_id)
    assert done.returncode == 0, done.stdout
    server = await real.settled(server_id)
    assert (server["status"], server["name"]) == ("ACTIVE", "again")
    await real.delete(server_id)
