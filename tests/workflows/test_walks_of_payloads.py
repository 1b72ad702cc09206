"""What leaves and enters workflow code is sealed and opened in one walk, and each purpose's converter is made once.

Switched off by: `workers.walks.walk_once` doing nothing, or `Converter.with_context` always making a copy."""

from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.bridge import worker as bridge
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import WorkflowSerializationContext

from infra import converter
from infra.codec import KeyRing
from infra.payloads import ENCODING, EncryptingCodec
from workers.walks import walk_once

CLEAR = Payload(metadata={"encoding": b"json/plain"}, data=b'{"token": "secret"}')
HERE, THERE = (WorkflowSerializationContext(namespace="default", workflow_id=id) for id in ("server-1", "server-2"))


@pytest.fixture
def whole(tmp_path: Path) -> converter.Converter:
    return converter.of(EncryptingCodec(KeyRing.load(tmp_path / "keys.json")))


def counted(bound: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is called for payloads, in order."""
    calls: list[str] = []
    for name in ("encode", "decode", "encode_reference", "decode_reference", "external_retrieve", "external_store"):
        method = f"_{name}_payload_sequence"
        real = getattr(type(bound), method)

        async def note(self: Any, payloads: Any, name: str = name, real: Any = real) -> Any:
            calls.append(name)
            return await real(self, payloads)

        note.__name__ = method
        monkeypatch.setattr(type(bound), method, note)
    return calls


@pytest.mark.asyncio
async def test_payloads_are_walked_over_once_each_way(
    whole: converter.Converter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "CommandAwarePayloadVisitor", vars(bridge)["CommandAwarePayloadVisitor"])
    bound = whole.with_context(HERE)
    calls = counted(bound, monkeypatch)
    walk_once()
    leaves = WorkflowActivationCompletion()
    leaves.successful.commands.add().complete_workflow_execution.result.CopyFrom(CLEAR)
    await bridge.encode_completion(leaves, bound, False, 1)
    sealed = leaves.successful.commands[0].complete_workflow_execution.result
    assert sealed.metadata["encoding"] == ENCODING and b"secret" not in sealed.data
    enters = WorkflowActivation()
    enters.jobs.add().initialize_workflow.arguments.append(sealed)
    await bridge.decode_activation(enters, bound, False, 1)
    assert enters.jobs[0].initialize_workflow.arguments[0] == CLEAR
    assert calls == ["encode", "decode"]


def test_a_purposes_converter_is_made_once(whole: converter.Converter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converter, "MOST_BOUND", 2)
    first = whole.with_context(HERE)
    assert whole.with_context(HERE) is first and first.with_context(HERE) is first
    other = first.with_context(THERE)
    assert other is not first and (first.payload_codec, other.payload_codec) != (None, None)
    for number in range(3):
        whole.with_context(WorkflowSerializationContext(namespace="default", workflow_id=f"server-{number}"))
    assert len(whole._bound) <= 2
