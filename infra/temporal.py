"""Connection to Temporal: pydantic models in, encrypted payloads out, metrics on one port per process."""

import asyncio
import time
from contextlib import suppress
from functools import lru_cache

from temporalio.client import Client, GrpcCompression
from temporalio.common import MetricMeter
from temporalio.converter import DataConverter
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.service import RPCError, TLSConfig

from infra import converter, tracing
from infra.codec import KeyRing
from infra.hostnet import netns
from infra.payloads import HOST_QUEUE, EncryptingCodec, Reader
from infra.settings import Settings

CONTROL_QUEUE = "control"
API_KEY_EVERY_S = 15.0
_following: set[asyncio.Task[None]] = set()  # the loop itself keeps no task alive
STEP_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


def compute_queue(host: str) -> str:
    """Task queue of the compute worker on `host` (seed steps 12-13: where rpc.cast went)."""
    return f"{HOST_QUEUE}{host}"


def server_workflow_id(instance_id: str) -> str:
    """The lock of a server: every operation on it runs under this id."""
    return f"server-{instance_id}"


def data_converter(settings: Settings) -> DataConverter:
    return converter.of(EncryptingCodec(KeyRing.load(settings.codec_keys)))


def reading_converter(settings: Settings) -> DataConverter:
    """For histories that are read and replayed, never acted upon: see `infra.payloads.Reader`."""
    return converter.of(Reader(KeyRing.load(settings.codec_keys)))


@lru_cache
def runtime_in(place: str, metrics: str = "") -> Runtime:
    """The SDK's threads, all inside network namespace `place`: they connect there, and serve `metrics` (ADDRESS:PORT,
    "" for none) there. OSError when this process may not enter it."""
    served = None
    if metrics:
        served = PrometheusConfig(
            bind_address=metrics, histogram_bucket_overrides={"kilonova_step_seconds": STEP_BUCKETS}
        )
    return netns.call(place, lambda: Runtime(telemetry=TelemetryConfig(metrics=served)))


def _tls(settings: Settings) -> TLSConfig | bool:
    """By the settings `temporal_tls_*`; plaintext without them. OSError for a file that cannot be read."""
    if settings.temporal_tls_ca is None:
        return False
    certificate, key = settings.temporal_tls_cert, settings.temporal_tls_key
    return TLSConfig(
        server_root_ca_cert=settings.temporal_tls_ca.read_bytes(),
        domain=settings.temporal_tls_name or None,
        client_cert=certificate.read_bytes() if certificate else None,
        client_private_key=key.read_bytes() if key else None,
    )


def _api_key(settings: Settings) -> str | None:
    file = settings.temporal_api_key_file
    return file.read_text().strip() if file else None


def _follow_api_key(client: Client, settings: Settings) -> None:
    """Tokens live for minutes: the one in the file is taken as soon as it changes."""
    if settings.temporal_api_key_file is None:
        return

    async def follow() -> None:
        while True:
            await asyncio.sleep(API_KEY_EVERY_S)
            with suppress(OSError):
                client.api_key = _api_key(settings)

    task = asyncio.create_task(follow())
    _following.add(task)
    task.add_done_callback(_following.discard)


def _compression(settings: Settings) -> GrpcCompression:
    """As the SDK has it where Temporal is elsewhere. On one machine gzip only costs, at both ends, and payloads are
    encrypted."""
    return GrpcCompression.GZIP if settings.temporal_address else GrpcCompression.NONE


async def connect(settings: Settings, *, metrics_port: int | None = None, patience_s: float = 30.0) -> Client:
    """A client, once Temporal answers; ConnectionError after `patience_s`. At most one `metrics_port` a process."""
    place, metrics = settings.temporal_place, f"{settings.listen}:{metrics_port}" if metrics_port else ""
    try:
        runtime = runtime_in(place, metrics) if place or metrics else None
    except (PermissionError, FileNotFoundError):
        raise ConnectionError(f"Temporal is reached by root only, in network namespace {place}.") from None
    end = time.monotonic() + patience_s
    while True:
        try:
            client = await Client.connect(
                settings.temporal,
                namespace=settings.temporal_namespace,
                data_converter=data_converter(settings),
                runtime=runtime,
                interceptors=tracing.interceptors(),
                tls=_tls(settings),
                api_key=_api_key(settings),
                grpc_compression=_compression(settings),
            )
            _follow_api_key(client, settings)
            return client
        except (RPCError, RuntimeError):
            if time.monotonic() > end:
                raise ConnectionError(f"Temporal does not answer at {settings.temporal}.") from None
            await asyncio.sleep(0.2)


def meter(client: Client) -> MetricMeter:
    """What counts for the process's metrics port, outside of workflows and activities."""
    return (client.service_client.config.runtime or Runtime.default()).metric_meter
