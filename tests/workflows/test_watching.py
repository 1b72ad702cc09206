"""A cloud of real processes, watched: one trace through all of them, and metrics of the control worker and of a host.

Switched off by: `tracing.setup` or `tracing.interceptors` returning nothing; `metrics_port` not passed to `connect`."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from infra.settings import PORTS
from infra.temporal import connect, server_workflow_id
from tests.openstack import OpenStack
from tests.ports import free_offset
from tests.workflows.cloud import BIN, Services
from tests.workflows.otlp import Receiver, Span
from tests.workflows.tenant import Tenant
from workers.build import build_id


@dataclass
class Watched:
    services: Services
    receiver: Receiver
    tenant: Tenant
    host_metrics: int

    def scrape(self, port: int) -> str:
        return httpx.get(f"http://127.0.0.1:{port}/metrics").text


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    receiver, offset = Receiver(), free_offset()
    host_metrics = PORTS["metrics"] + offset + 1
    own = {
        "KILONOVA_OTLP_ENDPOINT": receiver.endpoint,
        "KILONOVA_HOST": "node1",
        "KILONOVA_LIBVIRT_URI": "test:///default",
        "KILONOVA_VIRT_TYPE": "test",
        "KILONOVA_HOST_NETWORKING": "none",
        "KILONOVA_HOST_METRICS_PORT": str(host_metrics),
    }
    before = dict(os.environ)
    os.environ.update(own)
    openstack = OpenStack(tmp_path_factory.mktemp("openstack"), offset)
    services = Services(openstack, Path(tmp_path_factory.mktemp("watched")))
    try:
        openstack.start("identity", "image")
        services.start()
        services._spawn("control", [str(BIN / "kilonova"), "worker", "control"])
        services._spawn("node1", [str(BIN / "kilonova"), "worker", "compute"])
        yield Watched(services, receiver, Tenant(services.settings), host_metrics)
    finally:
        os.environ.clear()
        os.environ.update(before)
        services.stop()
        openstack.stop()
        receiver.close()


@pytest.fixture(scope="module")
def server(watched: Watched) -> str:
    """An ACTIVE one."""
    tenant = watched.tenant
    end = time.monotonic() + 30
    while not any(
        s["binary"] == "nova-compute" for s in tenant.call("GET", "compute", "/v2.1/os-services")["services"]
    ):
        assert time.monotonic() < end, "the host did not report"
        time.sleep(0.2)
    of = tenant.image(), tenant.flavor(), tenant.network()
    made = Tenant(watched.services.settings).server(*of)  # by a token that nobody knows yet: Keystone is asked
    assert tenant.until(made, "ACTIVE", "ERROR") == "ACTIVE"
    return made


WHERE = {
    "kilonova-compute": "POST /v2.1/servers",
    "kilonova-keystone": "GET /v3/auth/tokens",
    "kilonova-network": "POST /v2.0/ports",
    "kilonova-worker-control": "RunActivity:claim_host",
    "kilonova-worker-compute": "RunActivity:spawn",
}


def test_one_request_is_one_trace(watched: Watched, server: str) -> None:
    def of_the_post(spans: list[Span]) -> list[Span]:
        ids = {s.trace_id for s in spans if s.name == WHERE["kilonova-compute"]}
        return [s for s in spans if s.trace_id in ids]

    def roots(spans: list[Span]) -> list[str]:
        known = {s.span_id for s in spans}
        return [s.name for s in spans if s.parent_id not in known]

    def complete(spans: list[Span]) -> bool:  # each process sends its spans in its own time
        mine = of_the_post(spans)
        return set(WHERE.items()) <= {(s.service, s.name) for s in mine} and len(roots(mine)) == 1

    spans = of_the_post(watched.receiver.wait(complete))
    assert set(WHERE.items()) <= {(s.service, s.name) for s in spans}
    assert len({s.trace_id for s in spans}) == 1
    assert roots(spans) == [WHERE["kilonova-compute"]]  # one tree
    assert not [s for s in watched.receiver.spans if s.name in ("GET /", "GET")]  # no probes


def test_the_control_worker_serves_metrics(watched: Watched, server: str) -> None:
    text = watched.scrape(watched.services.settings.port("metrics"))
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("kilonova_builds_total{") and 'end="active"' in line]
    assert [line for line in lines if line.startswith("kilonova_parked") and line.endswith(" 0")]
    buckets = [line for line in lines if line.startswith("kilonova_step_seconds_bucket{") and 'step="spawn"' in line]
    assert [line for line in buckets if 'le="0.05"' in line]
    assert "node1" not in "".join(buckets)


def test_a_host_serves_metrics_when_told(watched: Watched, server: str) -> None:
    assert "temporal_activity_execution_latency" in watched.scrape(watched.host_metrics)


async def test_temporal_notes_which_code_did_it(watched: Watched, server: str) -> None:
    client = await connect(watched.services.settings)
    history = await client.get_workflow_handle(server_workflow_id(server)).fetch_history()
    tasks = [e.workflow_task_completed_event_attributes for e in history.events]
    steps = [e.activity_task_started_event_attributes for e in history.events]
    for noted in (tasks, steps):
        assert {each.worker_version.build_id for each in noted if each.ByteSize()} == {build_id()}
