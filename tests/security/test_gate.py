"""A compute host's way to Temporal: by its certificate it polls its own queue, and answers what it was given."""

import asyncio
import dataclasses
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import BaseModel
from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice import v1 as api
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from infra.codec import KeyRing
from infra.credentials import host_keys, set_revoked
from infra.settings import Settings
from infra.temporal import compute_queue, connect
from infra.tls import Authority
from tests.ports import free_port
from tests.security.production import PROGRAM, production
from workers.build import build_id
from workers.gate import serve

MINE, OTHER = "rack7", "rack8"


class Want(BaseModel):
    host: str


@activity.defn
async def spawn(want: Want) -> Want:
    activity.heartbeat("half way")
    await asyncio.sleep(0.2)
    return want


@workflow.defn
class Build:
    @workflow.run
    async def run(self, want: Want) -> Want:
        return await workflow.execute_activity(
            spawn,
            want,
            task_queue=compute_queue(want.host),
            start_to_close_timeout=timedelta(seconds=60),
            heartbeat_timeout=timedelta(seconds=20),
        )


@dataclass
class Place:
    """A Temporal server, its gate, and the controllers' client, which needs no gate."""

    settings: Settings
    controllers: Client
    authority: Authority
    port: int

    async def host(self, name: str, certificate: str | None = None) -> Client:
        """As a compute worker of another machine: its own keys, its own certificate, the gate's address."""
        keys = host_keys(self.settings.state_dir, name)
        KeyRing.give(self.settings.codec_keys, name, keys)
        cert, key = self.authority.ensure(certificate or f"host-{name}", [name])
        return await connect(
            self.through(temporal_tls_cert=cert, temporal_tls_key=key, codec_key_file=keys), patience_s=3
        )

    def through(self, **more: Any) -> Settings:
        update = {"temporal_address": f"127.0.0.1:{self.port}", "temporal_tls_ca": self.authority.certificate}
        update |= {"temporal_tls_cert": None, "temporal_tls_key": None, "temporal_tls_name": ""}
        return self.settings.model_copy(update={**update, **more})


@asynccontextmanager
async def development(state: Path) -> AsyncIterator[tuple[Settings, Client]]:
    """The dev server, without TLS."""
    binary = str(Path(sys.executable).with_name("temporal"))
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=binary, dev_server_log_level="error"
    ) as server:
        address = server.client.service_client.config.target_host
        settings = Settings(state_dir=state, temporal_address=address)
        yield settings, await connect(settings)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    state = tmp_path_factory.mktemp("gate")
    async with (production if PROGRAM else development)(state) as (settings, controllers):
        authority = Authority(settings.tls_place)
        authority.ensure("gate", ["127.0.0.1"])
        gate, port = await serve(settings, controllers, "127.0.0.1:0")
        workers = Worker(
            controllers,
            task_queue="control",
            workflows=[Build],
            workflow_runner=UnsandboxedWorkflowRunner(),
            build_id=build_id(),
        )
        async with workers:
            yield Place(settings, controllers, authority, port)
        await gate.stop(0)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def begun(place: Place, id: str, host: str) -> Any:
    return await place.controllers.start_workflow(Build.run, Want(host=host), id=id, task_queue="control")


async def polled(client: Client, queue: str) -> api.PollActivityTaskQueueResponse:
    request = api.PollActivityTaskQueueRequest(namespace="default", task_queue=TaskQueue(name=queue), identity="x")
    return await client.workflow_service.poll_activity_task_queue(request, timeout=timedelta(seconds=20))


async def test_a_host_carries_out_its_own_steps(place: Place) -> None:
    """A whole worker, with heartbeats and with no keys but its own."""
    host = await place.host(MINE)
    async with Worker(host, task_queue=compute_queue(MINE), activities=[spawn]):
        build = await begun(place, "build-1", MINE)
        assert await asyncio.wait_for(build.result(), 60) == Want(host=MINE)


async def test_the_guides_command_serves_a_host(place: Place) -> None:
    """A build's step through `kilonova temporal-gate`, a process of its own."""
    port, settings = free_port(), place.settings
    names = ("temporal_address", "temporal_tls_ca", "temporal_tls_cert", "temporal_tls_key", "temporal_tls_name")
    env = {f"KILONOVA_{name.upper()}": str(getattr(settings, name)) for name in names if getattr(settings, name)}
    env |= {"KILONOVA_STATE_DIR": str(settings.state_dir), "PATH": os.environ["PATH"]}
    argv = [str(Path(sys.executable).with_name("kilonova")), "temporal-gate", "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(argv, env=env) as process:
        try:
            host = await reached(dataclasses.replace(place, port=port))
            async with Worker(host, task_queue=compute_queue(MINE), activities=[spawn]):
                build = await begun(place, "build-0", MINE)
                assert await asyncio.wait_for(build.result(), 60) == Want(host=MINE)
            assert await denied(lambda: polled(host, compute_queue(OTHER)))
        finally:
            process.terminate()


async def reached(place: Place) -> Client:
    for _ in range(20):
        try:
            return await place.host(MINE)
        except ConnectionError:
            continue
    raise AssertionError("the gate does not serve")


async def denied(call: Callable[[], Any]) -> bool:
    with pytest.raises(RPCError) as refused:
        await asyncio.wait_for(call(), 20)
    return refused.value.status == RPCStatusCode.PERMISSION_DENIED


async def test_a_stolen_host_does_nothing_else(place: Place) -> None:
    thief = await place.host(OTHER)
    handle, service = thief.get_workflow_handle("build-2"), thief.workflow_service
    by_id = api.RespondActivityTaskCompletedByIdRequest(namespace="default", workflow_id="build-2", activity_id="1")
    shutdown = api.ShutdownWorkerRequest(namespace="default", task_queue=compute_queue(MINE))
    workflows = api.PollWorkflowTaskQueueRequest(namespace="default", task_queue=TaskQueue(name="control"))
    reset = api.ResetWorkflowExecutionRequest(
        namespace="default", workflow_execution=WorkflowExecution(workflow_id="build-2")
    )
    elsewhere = api.DescribeNamespaceRequest(namespace="temporal-system")
    tried: dict[str, Callable[[], Any]] = {
        "another's queue": lambda: polled(thief, compute_queue(MINE)),
        "the controllers' queue": lambda: polled(thief, "control"),
        "workflow tasks": lambda: service.poll_workflow_task_queue(workflows),
        "an answer by id": lambda: service.respond_activity_task_completed_by_id(by_id),
        "the end of another's worker": lambda: service.shutdown_worker(shutdown),
        "another namespace": lambda: service.describe_namespace(elsewhere),
        "a workflow": lambda: service.start_workflow_execution(api.StartWorkflowExecutionRequest(namespace="default")),
        "a list": thief.count_workflows,
        "a history": handle.fetch_history,
        "a look": handle.describe,
        "a signal": lambda: handle.signal("x"),
        "a cancel": handle.cancel,
        "an end": handle.terminate,
        "a query": lambda: handle.query("x"),
        "a reset": lambda: service.reset_workflow_execution(reset),
        "namespaces": lambda: service.list_namespaces(api.ListNamespacesRequest()),
    }
    assert [what for what, call in tried.items() if not await denied(call)] == []


async def test_a_step_is_answered_by_whom_it_was_given(place: Place) -> None:
    """Tokens name workflow and step in the clear, and the server believes whoever presents one."""
    mine, thief = await place.host(MINE), await place.host(OTHER)
    build = await begun(place, "build-3", MINE)
    step = await polled(mine, compute_queue(MINE))
    assert b"build-3" in step.task_token
    plain = step.task_token[32:]
    failed = api.RespondActivityTaskFailedRequest(namespace="default")
    for token in (step.task_token, plain, bytes(32) + plain, b""):
        failed.task_token = token
        assert await denied(lambda: thief.workflow_service.respond_activity_task_failed(failed))
        beat = api.RecordActivityTaskHeartbeatRequest(namespace="default", task_token=token)
        assert await denied(lambda beat=beat: thief.workflow_service.record_activity_task_heartbeat(beat))
    KeyRing.rotate(place.settings.codec_keys)  # a step that was given before is answered all the same
    done = api.RespondActivityTaskCompletedRequest(namespace="default", task_token=step.task_token)
    await mine.workflow_service.respond_activity_task_completed(done)
    with suppress(RPCError):  # its answer may have ended it by itself
        await build.terminate()


async def test_only_hosts_that_were_not_revoked_come_in(place: Place) -> None:
    assert await place.host(OTHER)
    set_revoked(place.settings.state_dir, OTHER, True)
    with pytest.raises(ConnectionError):
        await place.host(OTHER)
    set_revoked(place.settings.state_dir, OTHER, False)
    assert await place.host(OTHER)
    for certificate in ("server", "host-"):
        with pytest.raises(ConnectionError):
            await place.host(OTHER, certificate)
    with pytest.raises(ConnectionError):
        await connect(place.through(), patience_s=1)
