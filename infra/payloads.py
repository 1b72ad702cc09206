"""Payload codec: what workflows and steps exchange lies sealed in Temporal's history, each seal bound to its purpose.

Bare JSON strings, numbers and null stay readable: step summaries and current details, which name no secret, so that
the Web UI tells the story even without the codec server. Models, which carry tokens and passwords, are all sealed, and
a model that is not sealed, or sealed for something else, is refused. What goes to a compute host or comes from it is
sealed by a key of that host's own, which is good for the steps of its queue only.
"""

import json
import re
from collections.abc import Sequence
from typing import Self

from cryptography.exceptions import InvalidTag
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    ActivitySerializationContext,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)
from temporalio.exceptions import ApplicationError

from infra import logs
from infra.codec import KeyRing

ENCODING = b"binary/encrypted"
WORKFLOW, LONE_STEP = b"workflow\n", b"lone step\n"
HOST_QUEUE = "compute."
"""What the names of hosts' task queues begin with."""
NOTHING, JSON = b"binary/null", b"json/plain"
SCALARS = frozenset(bytes((first,)) for first in b'"-0123456789tfn')
"""What a string, a number, a truth value or null begins with. Source: RFC 8259, section 3."""
SCHEDULED = re.compile(r"-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
"""What Temporal appends to the workflow id of a schedule, whose input was sealed when the schedule was made."""

log = logs.get(__name__)


class Refused(ApplicationError):
    """A payload that nobody of this cloud sealed, or that was sealed for something else."""

    def __init__(self, why: str) -> None:
        super().__init__(f"payload refused: {why}", type="PayloadRefused", non_retryable=True)


def purpose_of(context: SerializationContext) -> bytes:
    """What a seal is good for: one workflow; one kind of step of one workflow on one task queue; one step without a
    workflow, whose caller is asked for no more than its id when it reads the result."""
    parts: tuple[str, ...]
    if isinstance(context, ActivitySerializationContext):
        what = tuple(part for part in (context.activity_task_queue, context.activity_type) if part)
        if context.workflow_id:
            parts = ("step", context.namespace, SCHEDULED.sub("", context.workflow_id), *what)
        else:
            parts = ("lone step", context.namespace, context.activity_id or "", *what)
    elif isinstance(context, WorkflowSerializationContext):
        parts = ("workflow", context.namespace, SCHEDULED.sub("", context.workflow_id))
    else:
        raise Refused(f"{type(context).__name__} is not used here")
    return "\n".join(parts).encode()


def host_of(purpose: bytes) -> str:
    """The compute host on whose queue the step of this purpose runs; "" for all else."""
    kind, *parts = purpose.decode(errors="replace").split("\n")
    queue = parts[2] if kind.endswith("step") and len(parts) == 4 else ""
    return queue.removeprefix(HOST_QUEUE) if queue.startswith(HOST_QUEUE) else ""


class EncryptingCodec(PayloadCodec, WithSerializationContext):
    """Seals for the purpose that `with_context` gave; without one it seals nothing, and opens whatever is authentic."""

    def __init__(self, ring: KeyRing, purpose: bytes = b"") -> None:
        self._ring, self._purpose = ring, purpose

    def with_context(self, context: SerializationContext) -> Self:
        return type(self)(self._ring, purpose_of(context))

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [each if _begins_scalar(each) or _is_scalar(each) else self._seal(each) for each in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Raises Refused for a step. A workflow is given what no converter takes, instead: its signal is dropped and
        its update rejected, whereas an error here would end the workflow without undoing anything."""
        opened = []
        for payload in payloads:
            try:
                opened.append(self._open(payload))
            except Refused as refused:
                if not self._purpose.startswith(WORKFLOW):
                    raise
                log.warning("payload refused", why=str(refused), purpose=self._purpose.decode())
                opened.append(Payload(metadata={"encoding": b"refused"}, data=str(refused).encode()))
        return opened

    def _is_for(self, purpose: bytes) -> bool:
        mine = self._purpose
        lone = mine.startswith(LONE_STEP) and mine.count(b"\n") == 2
        return not mine or purpose == mine or (lone and purpose.startswith(mine + b"\n"))

    def _seal(self, payload: Payload) -> Payload:
        if not self._purpose:
            raise Refused("it has no purpose to be sealed for")
        try:
            key_id, sealed = self._ring.encrypt(payload.SerializeToString(), self._purpose, host_of(self._purpose))
        except KeyError:
            raise Refused("this host has no key to seal it by") from None
        metadata = {"encoding": ENCODING, "key-id": key_id.encode(), "purpose": self._purpose}
        return Payload(metadata=metadata, data=sealed)

    def _open(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            if _is_scalar(payload):
                return payload
            raise Refused("it is not sealed")
        key_id, purpose = payload.metadata["key-id"].decode(), payload.metadata.get("purpose", b"")
        if not purpose and self._ring.bound(key_id):
            raise Refused("its seal names no purpose")
        if purpose and not self._is_for(purpose):
            raise Refused("it was sealed for something else")
        host = key_id.partition("@")[2]
        if host and host != host_of(purpose):
            raise Refused("a host sealed what is not its own to say")
        clear = Payload()
        try:
            clear.ParseFromString(self._ring.decrypt(key_id, payload.data, purpose))
        except KeyError:
            raise Refused("its key is unknown here") from None
        except InvalidTag:
            raise Refused("its seal is broken") from None
        return clear


def _begins_scalar(payload: Payload) -> bool:
    """Of what a converter wrote just now, which is good JSON and need not be read again: as `_is_scalar`, or false."""
    return payload.data[:1] in SCALARS and payload.metadata.get("encoding") == JSON


def _is_scalar(payload: Payload) -> bool:
    """Null, a string, a number or a truth value in JSON: nothing that a step or workflow takes as its input."""
    encoding = payload.metadata.get("encoding")
    if encoding == JSON and payload.data[:1] not in b"{[":
        try:
            return not isinstance(json.loads(payload.data), (dict, list))
        except ValueError:
            return False
    return encoding == NOTHING and not payload.data


class Reader(PayloadCodec):
    """For people and for replays, which act on nothing: opens what is authentic, whatever it was sealed for, shows
    what was never sealed, and seals nothing."""

    def __init__(self, ring: KeyRing) -> None:
        self._codec = EncryptingCodec(ring)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return list(payloads)

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        opened = []
        for payload in payloads:
            sealed = payload.metadata.get("encoding") == ENCODING
            opened += await self._codec.decode([payload]) if sealed else [payload]
        return opened
