"""Steps a recorded history through today's workflow code, and says what each step got and gave, secrets masked."""

import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from google.protobuf import json_format
from pydantic import BaseModel
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.worker import (
    Interceptor,
    Replayer,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from infra.logs import SECRET_KEYS, mask
from infra.payloads import ENCODING
from workers import sandbox
from workers.build import build_id
from workers.control import WORKFLOWS

LIMIT = 400
AT_CONTROL = " @ control"


class ReplayedStep(BaseModel):
    """One step of a history: what it was given, what came of it."""

    event_id: int
    name: str
    input: str = ""
    result: str = ""
    failure: str = ""
    number: int = 0  # of a local step in its run


class Replayed(BaseModel):
    workflow_id: str
    steps: list[ReplayedStep]
    difference: str = ""  # the first place where today's code does something else; "" when there is none


async def replay(
    history: WorkflowHistory, converter: DataConverter, workflows: Sequence[type] = tuple(WORKFLOWS)
) -> Replayed:
    """Run `workflows` over `history`. Nothing is done in the world: every result comes from the history."""
    asked = _Asked()
    ours = all(each.__module__.startswith("workflows.") for each in workflows)
    replayer = Replayer(
        workflows=_of_kind(history, workflows),
        data_converter=converter,
        interceptors=[asked],
        runtime=_quiet(),
        workflow_runner=sandbox.runner(strict=ours),
        build_id=build_id(),
    )
    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    failure = result.replay_failure
    steps = [step async for step in _steps(history, converter)]
    for step in steps:
        step.input = step.input or await asked.given(step, converter)
    difference = next(asked.differences(steps), "") or (_reason(failure) if failure else "")
    return Replayed(workflow_id=history.workflow_id, steps=steps, difference=difference)


def _of_kind(history: WorkflowHistory, workflows: Sequence[type]) -> Sequence[type]:
    """The one that the history is of, where it is there: to prepare all of them takes longer than the replay."""
    kind = history.events[0].workflow_execution_started_event_attributes.workflow_type.name
    return [each for each in workflows if each.__name__ == kind] or workflows


@lru_cache
def _quiet() -> Runtime:
    """Without the SDK's log lines, which quote inputs unmasked."""
    return Runtime(telemetry=TelemetryConfig(logging=None))


def _reason(failure: BaseException) -> str:
    """The SDK's words on why a replay failed, without its stack traces."""
    found = re.search(r'message: "((?:[^"\\]|\\.)*)"', str(failure))
    return mask(found[1] if found else str(failure))


class _Asked(Interceptor):
    """Notes which local steps today's code asks for, and with what: a history holds only their results.

    The SDK matches a local step to its result by number and does not compare names; `differences` does."""

    def __init__(self) -> None:
        self.local: dict[int, tuple[str, Sequence[Any]]] = {}  # by the step's number in its run

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        asked = self.local

        class Outbound(WorkflowOutboundInterceptor):
            def start_local_activity(self, input: StartLocalActivityInput) -> Any:
                handle: Any = super().start_local_activity(input)
                asked[handle._seq] = (input.activity, input.args)
                return handle

        class Inbound(WorkflowInboundInterceptor):
            def init(self, outbound: WorkflowOutboundInterceptor) -> None:
                super().init(Outbound(outbound))

        return Inbound

    def differences(self, steps: Iterable[ReplayedStep]) -> Iterator[str]:
        for step in steps:
            recorded, (today, _) = step.name.removesuffix(AT_CONTROL), self.local.get(step.number, ("", ()))
            if today and recorded != today:
                yield f"event {step.event_id}: the history has {recorded}, today's code asks for {today}"

    async def given(self, step: ReplayedStep, converter: DataConverter) -> str:
        today, args = self.local.get(step.number, ("", ()))
        known = today == step.name.removesuffix(AT_CONTROL)
        return await _show(await converter.encode(args), converter) if known else ""


async def _steps(history: WorkflowHistory, converter: DataConverter) -> AsyncIterator[ReplayedStep]:
    scheduled: dict[int, ReplayedStep] = {}
    for event in history.events:
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            attributes = event.activity_task_scheduled_event_attributes
            name = f"{attributes.activity_type.name} @ {attributes.task_queue.name}"
            given = await _show(attributes.input.payloads, converter)
            scheduled[event.event_id] = ReplayedStep(event_id=event.event_id, name=name, input=given)
        elif event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED:
            if step := await _local_step(event, converter):
                yield step
        elif step := await _ended(event, scheduled, converter):
            yield step
    for step in scheduled.values():
        yield step.model_copy(update={"failure": "not finished when the history was recorded"})


async def _ended(
    event: HistoryEvent, scheduled: dict[int, ReplayedStep], converter: DataConverter
) -> ReplayedStep | None:
    for kind in ("completed", "failed", "timed_out", "canceled"):
        field = f"activity_task_{kind}_event_attributes"
        if not event.HasField(field):  # type: ignore[arg-type]
            continue
        attributes = getattr(event, field)
        step = scheduled.pop(attributes.scheduled_event_id, None)
        if step is None:
            return None
        if kind == "completed":
            return step.model_copy(update={"result": await _show(attributes.result.payloads, converter)})
        words = mask(attributes.failure.message) if hasattr(attributes, "failure") else ""
        return step.model_copy(update={"failure": f"{kind.replace('_', ' ')}: {words}"})
    return None


async def _local_step(event: HistoryEvent, converter: DataConverter) -> ReplayedStep | None:
    attributes = event.marker_recorded_event_attributes
    if attributes.marker_name != "core_local_activity":
        return None
    data = json.loads(attributes.details["data"].payloads[0].data)
    result = await _show(attributes.details["result"].payloads, converter) if "result" in attributes.details else ""
    failure = mask(attributes.failure.message) if attributes.HasField("failure") else ""
    if data.get("backoff"):  # a try that is followed by another, after a timer
        return None
    name = f"{data.get('activity_type', '?')}{AT_CONTROL}"
    return ReplayedStep(
        event_id=event.event_id, name=name, result=result, failure=failure, number=int(data.get("seq", 0))
    )


async def _show(payloads: Any, converter: DataConverter) -> str:
    clear = await converter.payload_codec.decode(list(payloads)) if converter.payload_codec else list(payloads)
    shown = ", ".join(_masked(payload) for payload in clear)
    return shown if len(shown) <= LIMIT else shown[:LIMIT] + "…"


def _masked(payload: Payload) -> str:
    try:
        return json.dumps(_hide(json.loads(payload.data or b"null")))
    except ValueError:
        return f"<{len(payload.data)} bytes>"


def _hide(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: "***" if SECRET_KEYS.search(k) and v else _hide(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_hide(item) for item in value]
    return mask(value) if isinstance(value, str) else value


async def in_clear(history: WorkflowHistory, converter: DataConverter, rename: Mapping[str, str] | None = None) -> str:
    """The history as JSON, one event a line, its payloads decrypted and masked: fit for tests/histories.

    `rename` replaces texts everywhere, such as directories that are none of the reader's business."""
    document = _without_traces(json.loads(history.to_json()))
    changed = (rename or {}).items()
    for holder in _payload_holders(document):
        sealed = json_format.ParseDict(holder, Payload())
        opened = sealed  # what the server and the SDK themselves wrote never was sealed
        if converter.payload_codec and sealed.metadata.get("encoding") == ENCODING:
            opened = (await converter.payload_codec.decode([sealed]))[0]
        if opened.data[:1] in (b"{", b"["):
            opened.data = json.dumps(_hide(json.loads(opened.data))).encode()
        for old, new in changed:
            opened.data = opened.data.replace(old.encode(), new.encode())
        holder.clear()
        holder.update(json_format.MessageToDict(opened))
    lines = ",\n".join(json.dumps(event) for event in document["events"])
    for old, new in changed:
        lines = lines.replace(old, new)
    return f'{{"events": [\n{lines}\n]}}\n'


def _without_traces(value: Any) -> Any:
    """Failures keep their words, masked, but not where in our code they happened; workers lose their names."""
    if isinstance(value, dict):
        kept = {k: _without_traces(v) for k, v in value.items() if k not in ("stackTrace", "identity")}
        return kept | {"message": mask(kept["message"])} if isinstance(kept.get("message"), str) else kept
    return [_without_traces(item) for item in value] if isinstance(value, list) else value


def _payload_holders(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if set(value) <= {"metadata", "data"} and "metadata" in value:
            yield value
        else:
            for item in value.values():
                yield from _payload_holders(item)
    elif isinstance(value, list):
        for item in value:
            yield from _payload_holders(item)
