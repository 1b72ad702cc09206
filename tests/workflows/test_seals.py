"""What is not sealed by this cloud, or was sealed for something else, is carried out by no workflow and no step."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import RawValue, RetryPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from infra.codec import KeyRing
from infra.contracts.hypervisor import InstanceRef
from infra.contracts.requests import DeleteRequest
from infra.credentials import host_keys
from infra.payloads import HOST_QUEUE, EncryptingCodec, Reader, Refused
from infra.temporal import compute_queue
from tests.workflows.cloud import Cloud
from tests.workflows.servers import HOSTS
from workers.build import build_id

pytestmark = pytest.mark.asyncio(loop_scope="session")


@workflow.defn(name="Stranger")
class Stranger:
    """Asks a host for one step with the payload that it was given, as it is."""

    @workflow.run
    async def run(self, queue: str, step: str) -> None:
        await workflow.execute_activity(
            step,
            self.payload,
            task_queue=queue,
            start_to_close_timeout=timedelta(seconds=5),
            schedule_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )

    payload: Any = None


async def stranger(cloud: Cloud, queue: str, step: str, payload: Any) -> ApplicationError:
    """How the step fails that somebody without the keys, but with Temporal's address, asks for."""
    bare = await Client.connect(cloud.settings.temporal, data_converter=pydantic_data_converter)
    Stranger.payload = payload
    with pytest.raises(WorkflowFailureError) as failed:
        async with Worker(
            bare,
            task_queue="stranger",
            workflows=[Stranger],
            workflow_runner=UnsandboxedWorkflowRunner(),
            build_id=build_id(),
        ):
            id = f"stranger-{uuid.uuid4()}"
            await bare.execute_workflow(Stranger.run, args=[queue, step], id=id, task_queue="stranger")
    cause: BaseException | None = failed.value
    while cause and cause.__cause__:
        cause = cause.__cause__
    assert isinstance(cause, ApplicationError)
    return cause


async def test_a_host_takes_no_step_that_is_not_sealed(cloud: Cloud) -> None:
    ref = InstanceRef(instance_id=str(uuid.uuid4()))
    refused = await stranger(cloud, compute_queue(HOSTS[0]), "clean_up", ref)
    assert "not sealed" in str(refused)


async def test_leading_space_does_not_make_a_model_a_scalar(cloud: Cloud) -> None:
    codec = EncryptingCodec(KeyRing.load(cloud.settings.codec_keys), b"p")
    for data in (b' {"instance_id": "x"}', b"\t[1]", b'{"a": 1}', b"[]"):
        payload = Payload(metadata={"encoding": b"json/plain"}, data=data)
        with pytest.raises(Refused, match="not sealed"):
            await codec.decode([payload])
    for encoding in (b"binary/plain", b"json/protobuf", b""):
        with pytest.raises(Refused, match="not sealed"):
            await codec.decode([Payload(metadata={"encoding": encoding}, data=b"1")])
    plain = [Payload(metadata={"encoding": b"json/plain"}, data=data) for data in (b'"text"', b"1.5", b"null", b"true")]
    assert await codec.decode(plain) == plain


async def test_a_seal_is_good_for_its_own_step_only(cloud: Cloud) -> None:
    """The sealed input of a step of a real build, sent again in another workflow to the same host, and to another."""
    boot = await cloud.boot()
    assert await cloud.end(boot) is None
    sealed = None
    async for event in boot.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            step = event.activity_task_scheduled_event_attributes
            if step.activity_type.name == "spawn":
                sealed, queue = step.input.payloads[0], step.task_queue.name
    assert sealed is not None and sealed.metadata["encoding"] == b"binary/encrypted"
    for where, what in ((queue, "spawn"), (queue, "destroy"), (compute_queue(HOSTS[1]), "spawn")):
        assert "sealed for something else" in str(await stranger(cloud, where, what, RawValue(sealed)))
    named = Payload()
    named.CopyFrom(sealed)
    ring, mine = KeyRing.load(cloud.settings.codec_keys), sealed.metadata["purpose"]
    for purpose, why in ((mine.replace(b"spawn", b"destroy"), "broken"), (b"another", "not its own")):
        named.metadata["purpose"] = purpose
        with pytest.raises(Refused, match=why):
            await EncryptingCodec(ring, purpose).decode([named])
    await cloud.delete(boot)
    assert await cloud.end(boot) is None


async def step_payloads(boot: Any) -> dict[str, Payload]:
    """Inputs of the build's steps on its host, and of the workflow itself."""
    found = {}
    async for event in boot.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            step = event.activity_task_scheduled_event_attributes
            found[step.activity_type.name] = step.input.payloads[0]
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
            found["workflow"] = event.workflow_execution_started_event_attributes.input.payloads[0]
    return found


async def test_a_stolen_host_opens_its_own_steps_only(cloud: Cloud) -> None:
    """With what `kilonova host add` gave it: neither another host's steps, nor what workflows and controllers have."""
    boot = await cloud.boot()
    assert await cloud.end(boot) is None
    sealed = await step_payloads(boot)
    queue = sealed["spawn"].metadata["purpose"].decode().split("\n")[3]
    mine, other = queue.removeprefix(HOST_QUEUE), next(h for h in HOSTS if not queue.endswith(h))
    rings = {host: KeyRing.load(host_keys(cloud.settings.state_dir, host)) for host in HOSTS}
    (opened,) = await EncryptingCodec(rings[mine]).decode([sealed["spawn"]])
    assert b"instance_id" in opened.data
    for ring, payload in ((rings[other], sealed["spawn"]), (rings[mine], sealed["workflow"])):
        with pytest.raises(Refused, match="key is unknown"):
            await EncryptingCodec(ring).decode([payload])
    with pytest.raises(KeyError):
        rings[mine].seal("a column")
    await cloud.delete(boot)
    assert await cloud.end(boot) is None


async def test_a_stolen_host_seals_for_its_own_steps_only(cloud: Cloud) -> None:
    controllers, host = KeyRing.load(cloud.settings.codec_keys), HOSTS[0]
    ring = KeyRing.load(host_keys(cloud.settings.state_dir, host))
    model = Payload(metadata={"encoding": b"json/plain"}, data=b"{}")
    for purpose in (
        f"step\ndefault\nw\ncompute.{HOSTS[1]}\nspawn",
        "step\ndefault\nw\ncontrol\nx",
        "workflow\ndefault\nw",
    ):
        codec = EncryptingCodec(controllers, purpose.encode())
        with pytest.raises(Refused, match="no key"):
            await EncryptingCodec(ring, purpose.encode()).encode([model])
        key_id, forged = ring.encrypt(model.SerializeToString(), purpose.encode(), host)
        metadata = {"encoding": b"binary/encrypted", "key-id": key_id.encode(), "purpose": purpose.encode()}
        if purpose.startswith("workflow"):
            (dropped,) = await codec.decode([Payload(metadata=metadata, data=forged)])
            assert dropped.metadata["encoding"] == b"refused"
        else:
            with pytest.raises(Refused, match="not its own"):
                await codec.decode([Payload(metadata=metadata, data=forged)])
    own = f"step\ndefault\nw\ncompute.{host}\nspawn".encode()
    (sealed,) = await EncryptingCodec(ring, own).encode([model])
    assert await EncryptingCodec(controllers, own).decode([sealed]) == [model]


async def test_a_workflow_does_not_start_on_an_unsealed_request(cloud: Cloud) -> None:
    bare = await Client.connect(cloud.settings.temporal, data_converter=pydantic_data_converter)
    request = cloud.request()
    handle = await bare.start_workflow(
        "BootInstance", request, id=f"server-{request.instance_id}", task_queue="control"
    )
    refused = ""
    async for event in handle.fetch_history_events(wait_new_event=True):
        assert event.event_type != EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
            refused = event.workflow_task_failed_event_attributes.failure.message
            break
    await handle.terminate()
    assert "Failed decoding arguments" in refused
    assert cloud.record(handle) is None


async def test_an_unsealed_signal_or_update_leaves_a_build_alone(cloud: Cloud) -> None:
    boot = await cloud.boot(hold="spawn")
    await asyncio.wait_for(cloud.faults.held.wait(), 20)
    bare = await Client.connect(cloud.settings.temporal, data_converter=pydantic_data_converter)
    stolen = DeleteRequest(requester=cloud.requester(), instance_id=boot.id.removeprefix("server-"))
    await bare.get_workflow_handle(boot.id).signal("delete", stolen)
    cloud.faults.release.set()
    assert await cloud.end(boot) is None
    record = cloud.record(boot)
    assert record is not None and record.vm_state == "active"
    await cloud.delete(boot)
    assert await cloud.end(boot) is None


async def test_older_keys_open_what_they_sealed_for_nothing_in_particular(cloud: Cloud) -> None:
    """A key that older versions used opens their payloads until it is removed; a new key opens no such payload."""
    ring = KeyRing.load(cloud.settings.codec_keys)
    clear = Payload(metadata={"encoding": b"json/plain"}, data=b"{}")
    key_id, sealed = ring.encrypt(clear.SerializeToString())
    unbound = Payload(metadata={"encoding": b"binary/encrypted", "key-id": key_id.encode()}, data=sealed)
    with pytest.raises(Refused, match="no purpose"):
        await EncryptingCodec(ring, b"p").decode([unbound])
    old = cloud.settings.codec_keys.with_name("old.json")
    old.write_text(cloud.settings.codec_keys.read_text().replace('"bound"', '"unbound"'))
    assert await EncryptingCodec(KeyRing.load(old), b"p").decode([unbound]) == [clear]


async def test_only_a_purpose_seals_and_a_reader_never_does(cloud: Cloud) -> None:
    ring, model = KeyRing.load(cloud.settings.codec_keys), Payload(metadata={"encoding": b"json/plain"}, data=b"{}")
    with pytest.raises(Refused, match="no purpose"):
        await EncryptingCodec(ring).encode([model])
    assert await Reader(ring).encode([model]) == [model]
