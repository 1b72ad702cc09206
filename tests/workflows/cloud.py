"""A cloud for workflow tests: real services and Temporal as processes, the workers in this one, faults around steps."""

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
from temporalio.client import Client
from temporalio.worker import Worker

from activities.scheduling.scheduler import Scheduler
from infra import credentials
from infra.codec import KeyRing
from infra.contracts.audit import Finding
from infra.database import Database
from infra.nbd import storage_daemon_argv
from infra.openstack import service_session
from infra.settings import Settings
from infra.stores.claims import Claims
from infra.tables.compute import Flavor
from infra.temporal import CONTROL_QUEUE, compute_queue, data_converter
from infra.volume_doors import forget, gate_argv
from tests.openstack import OpenStack
from tests.temporal import start_temporal
from tests.workflows.servers import HOSTS, Servers
from workers.build import build_id
from workers.compute import Host
from workers.control import WORKFLOWS, audit_of, control_activities
from workers.interceptors import StepInterceptor
from workers.sandbox import runner
from workers.sign_in import as_host, as_service

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


class Services:
    """Temporal, our own services and the volumes' NBD server, each a real process, beside Keystone and Glance."""

    def __init__(self, openstack: OpenStack, state_dir: Path) -> None:
        self.settings = openstack.join(
            state_dir,
            libvirt_uri="test:///default",
            virt_type="test",
            host_networking="none",
            host_down_after_s=3600,
        )
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        s = self.settings
        s.run_dir.mkdir(parents=True)
        self.processes.append(start_temporal(s, listed=False))
        self._spawn("nbd", storage_daemon_argv(s))
        self._spawn("nbd-gate", gate_argv(s))
        silent = {"KILONOVA_NETWORK_EVENTS": "false"}  # every event of it is lost
        self._spawn("services", [str(BIN / "kilonova"), "api", "--service", "network", "--service", "volume"], silent)
        self._spawn("compute", [str(BIN / "kilonova"), "api", "--service", "compute"])
        for service in ("network", "volume", "compute"):
            self._wait(s.url(service, "/"))

    def _spawn(self, name: str, argv: list[str], more: Mapping[str, str] = MappingProxyType({})) -> None:
        s = self.settings
        env = {**os.environ, "KILONOVA_STATE_DIR": str(s.state_dir), "KILONOVA_PORT_OFFSET": str(s.port_offset), **more}
        with (s.state_dir / f"{name}.log").open("wb") as log:
            self.processes.append(subprocess.Popen(argv, env=env, cwd=ROOT, stdout=log, stderr=log))

    def _wait(self, url: str) -> None:
        end = time.monotonic() + 60
        with httpx.Client(timeout=2) as http:
            while True:
                try:
                    http.get(url)
                    return
                except httpx.HTTPError:
                    if time.monotonic() > end or any(p.poll() is not None for p in self.processes):
                        raise
                    time.sleep(0.1)

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        forget(self.settings)


NODE = "<node/>"
"""The test driver keeps the domains of such a file's connection to that connection."""


class Cloud(Servers):
    """What a test sees: boots with faults armed, and what is left afterwards. Each host has a libvirt of its own: a
    guest that goes from one to the other is on both for a while."""

    def __init__(self, settings: Settings, client: Client) -> None:
        super().__init__(settings, client, Database("compute", state_dir=settings.state_dir))
        session = service_session(as_service(settings, "nova"))
        self.claims = Claims(self.database, Scheduler(settings))
        self.audit = audit_of(settings, client, self.database, session, self.claims)
        self.hosts = {}
        for name in HOSTS:
            KeyRing.give(settings.codec_keys, name, credentials.host_keys(settings.state_dir, name))
            (node := settings.state_dir / f"{name}.xml").write_text(NODE)
            mine = {"host": name, "libvirt_uri": f"test://{node}"}
            self.hosts[name] = Host.connect(as_host(settings.model_copy(update=mine)))
        self.token, self.user, self.project = "", "", ""

    def prepare(self) -> None:
        """A token, a flavor, a network, both hosts reported."""
        s = self.settings
        user = {"name": "admin", "password": credentials.load(s.state_dir)["admin"], "domain": {"id": "default"}}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        answer = httpx.post(f"{s.identity_url}/auth/tokens", json=body)
        self.token, token = answer.headers["x-subject-token"], answer.json()["token"]
        self.user, self.project = token["user"]["id"], token["project"]["id"]
        with self.database.write() as session:
            if session.get(Flavor, "tiny") is None:
                session.add(Flavor(id="tiny", name="tiny", ram=64, vcpus=1, disk=0))
        self.network = self.post("network", "/v2.0/networks", {"network": {"name": "net", "shared": True}})["network"][
            "id"
        ]
        subnet = {"network_id": self.network, "ip_version": 4, "cidr": "10.7.0.0/20"}
        self.post("network", "/v2.0/subnets", {"subnet": subnet})
        self._unlimited_volumes()
        for host in self.hosts.values():
            self.report(host)

    def report(self, host: Host) -> None:
        told = host.driver.inventory()
        facts = {**told["facts"], "images": host.images.newest()}
        where = {"host_ip": "127.0.0.1", "zone": "nova", "started_at": "2026-01-01T00:00:00Z"}
        host.control.heartbeat({**told, **where, "facts": facts})

    def _unlimited_volumes(self) -> None:
        """What tests leave of volumes is in no other's way."""
        limits = {"quota_set": {"volumes": -1, "gigabytes": -1}}
        url = self.settings.url("volume", f"/v3/{self.project}/os-quota-sets/{self.project}")
        httpx.put(url, json=limits, headers={"X-Auth-Token": self.token}).raise_for_status()

    def post(self, service: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = httpx.post(self.settings.url(service, path), json=body, headers={"X-Auth-Token": self.token})
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    @asynccontextmanager
    async def workers(self, cached: int = 100, workflows: Sequence[type] = WORKFLOWS) -> AsyncIterator[None]:
        faults = [self.faults]
        control = control_activities(self.settings, self.database, self.client)
        with ThreadPoolExecutor(32) as pool:
            workers = [
                Worker(
                    self.client,
                    task_queue=CONTROL_QUEUE,
                    build_id=build_id(),
                    workflows=workflows,
                    activities=control,
                    activity_executor=pool,
                    max_cached_workflows=cached,
                    interceptors=[*faults, StepInterceptor("")],
                    workflow_runner=runner(),
                )
            ]
            for name, host in self.hosts.items():
                own = {**self.client.config(), "data_converter": data_converter(host.settings)}
                workers.append(
                    Worker(
                        Client(**own),
                        task_queue=compute_queue(name),
                        build_id=build_id(),
                        activities=host.activities(),
                        activity_executor=pool,
                        interceptors=[*faults, StepInterceptor(name)],
                    )
                )
            async with workers[0], workers[1], workers[2]:
                yield

    async def leaks(self) -> list[Finding]:
        """What hosts, services and records disagree about, after a second look."""
        return (await self.audit.audit(repair=False)).findings

    async def world(self) -> dict[str, int]:
        """How much there is of everything."""
        world = await self.audit._looker.look()
        return {
            "instances": len(world.live),
            "claims": sum(len(server.known.held) for server in world.servers.values()) + len(world.claims),
            "ports": len(world.ports),
            "attachments": len(world.attachments),
            **{f"{h}.{k}": len(getattr(f, k)) for h, f in world.hosts.items() for k in ("domains", "instance_dirs")},
            "volumes": self.volumes(),
        }

    def volumes(self) -> int:
        url = self.settings.url("volume", "/v3/volumes/detail?all_tenants=1")
        return len(httpx.get(url, headers={"X-Auth-Token": self.token}).json()["volumes"])
