"""One walk over the payloads of a workflow task each way. The SDK makes three, each over copies, since it looks for
payloads that are stored outside of Temporal: none of ours is, and the codec refuses what is not sealed."""

from typing import Any

from temporalio.bridge import worker as bridge
from temporalio.worker._command_aware_visitor import CommandAwarePayloadVisitor

ELSEWHERE = frozenset(
    {
        "_decode_reference_payload_sequence",
        "_encode_reference_payload_sequence",
        "_external_retrieve_payload_sequence",
        "_external_store_payload_sequence",
    }
)
"""What the SDK's walks call for each payload, in vain without a store (temporalio/bridge/worker.py)."""


class OneWalk(CommandAwarePayloadVisitor):
    async def visit(self, fs: Any, root: Any) -> None:
        if fs._f.__name__ not in ELSEWHERE:
            await super().visit(fs, root)


def walk_once() -> None:
    """For this process; a second call changes nothing."""
    bridge.CommandAwarePayloadVisitor = OneWalk  # type: ignore[attr-defined]
