"""Where compute hosts reach Temporal: each, by its certificate, polls its own queue and answers what it was given.

Temporal's own authorizer knows reading, writing and administering a namespace; a host that may answer steps may also
start workflows and poll every host's queue. Hence hosts of other machines get this address instead of the frontend's,
whatever that is. Source: Temporal's workflowservice API, gRPC's status codes."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
from temporalio.api.workflowservice import v1 as api
from temporalio.client import Client
from temporalio.service import RPCError

from infra import logs
from infra.codec import KeyRing
from infra.credentials import revoked_hosts
from infra.settings import Settings
from infra.temporal import compute_queue, connect

SERVICE = "/temporal.api.workflowservice.v1.WorkflowService/"
MAY = {
    "GetSystemInfo": "get_system_info",
    "DescribeNamespace": "describe_namespace",
    "PollActivityTaskQueue": "poll_activity_task_queue",
    "RecordActivityTaskHeartbeat": "record_activity_task_heartbeat",
    "RespondActivityTaskCompleted": "respond_activity_task_completed",
    "RespondActivityTaskFailed": "respond_activity_task_failed",
    "RespondActivityTaskCanceled": "respond_activity_task_canceled",
    "ShutdownWorker": "shutdown_worker",
}
"""What a worker of activities calls, and the client's name for it. Answers by a workflow's id are not among them."""
NAME = "host-"
"""What common names of hosts' certificates begin with."""
MAC_BYTES = sha256().digest_size
GRACE_S = 3.0
log = logs.get(__name__)
STATUSES = {status.value[0]: status for status in grpc.StatusCode}


class Denied(Exception):
    """Why a host may not have what it asked for."""


class Gate(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Passes on to `client` what a host may ask. Task tokens leave it sealed for the host that polled them, by a key
    that follows from the controllers' ring: a token that it did not give this host is answered for nobody."""

    def __init__(self, client: Client, ring: KeyRing, state_dir: Path) -> None:
        self._client, self._ring, self._state_dir = client, ring, state_dir

    def service(self, call: Any) -> Any:
        """Source: grpc.GenericRpcHandler."""
        method = call.method.removeprefix(SERVICE)
        if method not in MAY:
            return grpc.unary_unary_rpc_method_handler(self._nothing_else)
        request, answer = getattr(api, f"{method}Request"), getattr(api, f"{method}Response")
        return grpc.unary_unary_rpc_method_handler(
            self._passing(MAY[method]), request.FromString, answer.SerializeToString
        )

    async def _nothing_else(self, _request: bytes, context: Any) -> None:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not for a compute host")

    def _passing(self, method: str) -> Callable[[Any, Any], Awaitable[Any]]:
        async def passed(request: Any, context: Any) -> Any:
            try:
                host = self._host(context)
                self._check(host, request)
                answer = await getattr(self._client.workflow_service, method)(
                    request, timeout=_left(context), retry=False
                )
                self._host(context)  # it may have been revoked while it polled
            except Denied as why:
                log.warning("a host was refused", method=method, why=str(why), peer=context.peer())
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(why))
            except RPCError as error:
                context.set_trailing_metadata((("grpc-status-details-bin", error.raw_grpc_status),))
                await context.abort(STATUSES[int(error.status)], error.message)
            if getattr(answer, "task_token", b""):
                answer.task_token = self._macs(host, answer.task_token)[0] + answer.task_token
            return answer

        return passed

    def _host(self, context: Any) -> str:
        """By its certificate, which the TLS server has verified."""
        names = context.auth_context().get("x509_common_name", [b""])
        name: str = names[0].decode(errors="replace")
        host = name.removeprefix(NAME)
        if host in ("", name):
            raise Denied("the certificate is no compute host's")
        if host in revoked_hosts(self._state_dir):
            raise Denied(f"host {host} was revoked")
        return host

    def _check(self, host: str, request: Any) -> None:
        fields = request.DESCRIPTOR.fields_by_name
        if "namespace" in fields and request.namespace != self._client.namespace:
            raise Denied("another namespace")
        if isinstance(request, api.DescribeNamespaceRequest) and request.id:
            raise Denied("a namespace by its id")
        if isinstance(request, api.PollActivityTaskQueueRequest) and request.task_queue.name != compute_queue(host):
            raise Denied("another's queue")
        if isinstance(request, api.ShutdownWorkerRequest) and (
            request.task_queue not in ("", compute_queue(host)) or request.sticky_task_queue
        ):
            raise Denied("another's worker")
        if "task_token" in fields:
            mac, token = request.task_token[:MAC_BYTES], request.task_token[MAC_BYTES:]
            if not any(hmac.compare_digest(mac, mine) for mine in self._macs(host, token)):
                raise Denied("a step that this host was not given")
            request.task_token = token

    def _macs(self, host: str, token: bytes) -> list[bytes]:
        """By the ring's keys, the current one first."""
        return [hmac.digest(key, host.encode() + b"\0" + token, "sha256") for key in self._ring.secrets_for("gate")]


def _left(context: Any) -> timedelta | None:
    seconds = context.time_remaining()
    return None if seconds is None else timedelta(seconds=seconds)


async def serve(settings: Settings, client: Client, address: str) -> tuple[Any, int]:
    """The running server and its port. `gate-cert.pem`, `gate-key.pem` and `ca-cert.pem` lie in `settings.tls_place`;
    FileNotFoundError without them, RuntimeError when the address is taken."""
    place = settings.tls_place
    own = [((place / "gate-key.pem").read_bytes(), (place / "gate-cert.pem").read_bytes())]
    asks = grpc.ssl_server_credentials(own, (place / "ca-cert.pem").read_bytes(), require_client_auth=True)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Gate(client, KeyRing.load(settings.codec_keys), settings.state_dir),))
    port = server.add_secure_port(address, asks)
    await server.start()
    return server, port


async def run(settings: Settings, address: str) -> None:
    """Until the process is ended."""
    server, port = await serve(settings, await connect(settings), address)
    log.info("ready", port=port)
    try:
        await server.wait_for_termination()
    finally:
        await asyncio.shield(server.stop(GRACE_S))
