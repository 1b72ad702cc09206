"""What the compute API asks of the workflows' side: the shape of `app.state.operations`."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from infra.contracts.diagnostics import Diagnostics
from infra.contracts.operation import ActionRequest
from workflows.action import Action
from workflows.requests import Accepted, BootRequest, DeleteRequest, GivenUp, Requester


class Operations(Protocol):
    """Starts operations on servers and tells how they go. Refusals are ServiceErrors in Nova's words."""

    async def boot(self, request: BootRequest) -> Accepted:
        """The record is durable; 403 over quota. The same instance id again gives the same answer."""

    async def start(self, action: Action, request: ActionRequest) -> Accepted:
        """The action is durable; 404, or 409 in Nova's words, when it may not begin."""

    async def delete(self, request: DeleteRequest) -> None:
        """Accepted; never refused."""

    async def give_up(self, instance_id: str, cause: GivenUp) -> None:
        """What runs on the server is cancelled and has undone itself; 409 while it has not."""

    async def progress(self, instance_id: str) -> list[dict[str, Any]]:
        """Steps of the running operation in the shape of ActionEvent rows; [] when nothing runs."""

    async def percents(self, instance_ids: Sequence[str]) -> dict[str, int]:
        """Of the bytes that each server's running operation moves, how many are moved; 0 when nothing says it."""

    async def retry(self, requester: Requester, instance_id: str) -> object:
        """Run a failed build again; 409 when it did not fail."""

    async def resume(self, requester: Requester, instance_id: str, decision: str) -> None:
        """Go on with a parked build (`retry`), or give it up (`abort`); 409 when none is parked."""

    async def console_output(self, instance_id: str, length: int | None) -> str:
        """The last `length` lines of the console log, which lies on the server's host; None gives all."""

    async def console_target(self, instance_id: str, kind: Literal["vnc", "serial"]) -> str:
        """Where the proxy reaches the server's VNC or serial port: `host:port` or `unix_socket:PATH`."""

    async def diagnostics(self, instance_id: str) -> Diagnostics:
        """The guest's use of its host; 409 when it does not run."""
