"""Real identity, image, network and volume services, and the compute API in front of them.

Only Temporal is absent: `Ledger` stands at the seam to the workflows and writes records with their code."""

import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.types import ASGIApp
from temporalio.exceptions import ApplicationError

import api.network.app
import api.placement.app
import api.volume.app
from activities.quota import require_room
from activities.transition import require
from api.common.errors import ServiceError
from api.compute.app import create_compute
from infra import credentials
from infra.codec import KeyRing
from infra.contracts.diagnostics import CpuUse, Diagnostics, DiskUse, NicUse
from infra.contracts.operation import ActionEnd, ActionRequest
from infra.database import Database
from infra.settings import Settings
from infra.stores.instances import Records
from infra.stores.transitions import Transitions
from infra.tables.compute import Flavor, Instance, Service, now
from tests.compute.interceptor import Contract
from tests.compute.placement import Contract as PlacementContract
from tests.network.interceptor import Contract as NetworkContract
from tests.openstack import OpenStack, state_dir_in_environment
from tests.signed_in import environment
from workers import servers
from workflows.action import Action
from workflows.requests import Accepted, BootRequest, DeleteRequest, GivenUp, Requester

Json = dict[str, Any]
HTTP: Json = {"timeout": 60, "verify": False}  # loading certificates for plain HTTP would cost 30 ms a client


@contextmanager
def served(app: ASGIApp, port: int, **bounds: int) -> Iterator[None]:
    server = servers.server(app, "127.0.0.1", port, **bounds)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive() and time.monotonic() < end, "the service did not start"
        time.sleep(0.02)
    yield
    server.should_exit = True
    thread.join(10)


def acting_as(settings: Settings, user: str) -> Settings:
    password = SecretStr(credentials.load(settings.state_dir)[user])
    return settings.model_copy(update={"service_username": user, "service_password": password})


@dataclass
class Ledger:
    """Operations without Temporal: what was asked, and the records that the first steps would write."""

    database: Database
    ring: KeyRing
    booted: list[BootRequest] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    reclaims: list[float] = field(default_factory=list)  # of each delete: seconds for which it can be taken back
    decisions: list[tuple[str, str]] = field(default_factory=list)
    started: list[tuple[str, str]] = field(default_factory=list)  # server, action
    bodies: list[Json] = field(default_factory=list)  # of what was started
    told: dict[str, Json] = field(default_factory=dict)  # action → answer that only its steps know
    steps: list[Json] = field(default_factory=list)
    moved: dict[str, int] = field(default_factory=dict)  # server → per cent
    asked: list[list[str]] = field(default_factory=list)  # of which servers at once
    refuse: set[str] = field(default_factory=set)  # names of servers that are to be refused

    async def boot(self, request: BootRequest) -> Accepted:
        if request.name in self.refuse:
            raise ServiceError(409, "refused")
        known = [each for each in self.booted if each.instance_id == request.instance_id]
        if known:
            return Accepted(instance_id=request.instance_id, admin_pass=known[0].admin_pass)
        try:
            Records(self.database, self.ring).create(request, require_room)
        except ApplicationError as error:
            raise ServiceError(error.details[0]["code"], error.message) from error
        self.booted.append(request)
        return Accepted(instance_id=request.instance_id, admin_pass=request.admin_pass)

    async def start(self, action: Action, request: ActionRequest) -> Accepted:
        try:
            facts = Transitions(self.database, self.ring).begin(request, require)
            answer = action.workflow.answer(request, facts)
        except ApplicationError as error:
            raise ServiceError(error.details[0]["code"], error.message) from error
        end = ActionEnd(instance_id=request.instance_id, request_id=request.requester.request_id, steps=[])
        Transitions(self.database, self.ring).end(end, "end_action")
        self.started.append((request.instance_id, action.name))
        self.bodies.append(request.body)
        return answer.model_copy(update={"answer": self.told.get(action.name, answer.answer)})

    async def delete(self, request: DeleteRequest) -> None:
        self.deleted.append(request.instance_id)
        self.reclaims.append(request.reclaim_after_s)
        with self.database.write() as session:
            row = session.get_one(Instance, request.instance_id)
            row.deleted_at, row.vm_state = now(), "deleted"

    async def give_up(self, instance_id: str, cause: GivenUp) -> None:
        self.decisions.append((instance_id, f"give up {cause}"))

    async def progress(self, instance_id: str) -> list[Json]:
        return self.steps

    async def percents(self, instance_ids: Sequence[str]) -> dict[str, int]:
        self.asked.append(list(instance_ids))
        return {id: self.moved.get(id, 0) for id in instance_ids}

    async def retry(self, requester: Requester, instance_id: str) -> None:
        self.decisions.append((instance_id, "again"))

    async def resume(self, requester: Requester, instance_id: str, decision: str) -> None:
        self.decisions.append((instance_id, decision))

    async def console_output(self, instance_id: str, length: int | None) -> str:
        lines = ["one", "two\x07", "three"]
        return "\n".join(lines if length is None else lines[-length:])

    async def console_target(self, instance_id: str, kind: str) -> str:
        return f"unix_socket:/run/guest.{kind}"

    async def diagnostics(self, instance_id: str) -> Diagnostics:
        counts = {f"{way}_{word}": 7 for way in ("rx", "tx") for word in ("octets", "packets", "errors", "drop")}
        return Diagnostics(
            state="running",
            hypervisor="kvm",
            memory_max_kib=524288,
            memory_kib=262144,
            memory={"rss": 5},
            cpus=[CpuUse(id=0, time=9)],
            disks=[DiskUse(device="vda", read_bytes=1, read_requests=2, write_bytes=3, write_requests=4)],
            nics=[NicUse(device="tap0", mac_address="fa:16:3e:00:00:01", **counts)],
        )


class Api:
    """One user's calls of the compute API, below /v2.1."""

    def __init__(self, url: str, token: str, body: Json) -> None:
        self.http = httpx.Client(base_url=f"{url}/v2.1", headers={"X-Auth-Token": token}, **HTTP)
        self.token, self.project_id, self.user_id = token, body["project"]["id"], body["user"]["id"]

    def call(self, method: str, path: str, status: int = 200, version: str = "2.104", **more: Any) -> Any:
        """The body of an answer that has to have `status`; `text` of one without JSON."""
        headers = {"OpenStack-API-Version": f"compute {version}", **more.pop("headers", {})}
        answer = self.http.request(method, path, headers=headers, **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def get(self, path: str, status: int = 200, /, *, version: str = "2.104", **params: Any) -> Any:
        return self.call("GET", path, status, version, params=params or None)

    def post(self, path: str, body: Json, status: int = 200, version: str = "2.104", **headers: str) -> Any:
        return self.call("POST", path, status, version, json=body, headers=headers)

    def put(self, path: str, body: Json | None, status: int = 200, version: str = "2.104") -> Any:
        return self.call("PUT", path, status, version, json=body)

    def delete(self, path: str, status: int = 204, version: str = "2.104") -> Any:
        return self.call("DELETE", path, status, version)

    def refused(self, method: str, path: str, status: int, version: str = "2.104", **more: Any) -> str:
        """The message of a refusal in Nova's format."""
        body = self.call(method, path, status, version, **more)
        (error,) = body.values()
        assert error["code"] == status
        return str(error["message"])


@dataclass
class Cloud:
    settings: Settings
    database: Database
    ledger: Ledger
    compute: FastAPI

    def login(self, name: str, password: str, project: str) -> Api:
        domain = {"id": "default"}
        user = {"name": name, "password": password, "domain": domain}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": project, "domain": domain}},
        }
        answer = httpx.post(f"{self.settings.identity_url}/auth/tokens", json={"auth": auth}, **HTTP)
        assert answer.status_code == 201, answer.text
        return Api(self.settings.url("compute"), answer.headers["X-Subject-Token"], answer.json()["token"])

    def user(self, name: str) -> Api:
        project = {"admin": "admin", "demo": "demo"}.get(name, "service")
        return self.login(name, credentials.load(self.settings.state_dir)[name], project)

    def tenant(self, admin: Api, role: str = "member") -> Api:
        """A user with `role` in a new project."""
        name, password = f"t-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
        base = self.settings.identity_url
        with httpx.Client(headers={"X-Auth-Token": admin.token}, **HTTP) as keystone:
            project = keystone.post(f"{base}/projects", json={"project": {"name": name}}).json()["project"]["id"]
            user = {"name": name, "password": password, "domain_id": "default"}
            user_id = keystone.post(f"{base}/users", json={"user": user}).json()["user"]["id"]
            role_id = keystone.get(f"{base}/roles", params={"name": role}).json()["roles"][0]["id"]
            keystone.put(f"{base}/projects/{project}/users/{user_id}/roles/{role_id}").raise_for_status()
        return self.login(name, password, name)

    def sign_in(self, name: str) -> dict[str, str]:
        """What the `openstack` client wants to know of a bootstrapped user."""
        return environment(self.settings, name)

    def server(self, owner: Api, **values: Any) -> str:
        """A server's record as the end of a build leaves it; its id."""
        row = Instance(
            **{
                "id": str(uuid.uuid4()),
                "project_id": owner.project_id,
                "user_id": owner.user_id,
                "name": "vm",
                "hostname": "vm",
                "flavor_id": "tiny",
                "flavor": {"id": "tiny", "name": "m1.tiny", "vcpus": 1, "ram": 64, "disk": 1, "extra_specs": {}},
                "vcpus": 1,
                "memory_mb": 64,
                "root_gb": 1,
                "vm_state": "active",
                "power_state": 1,
                "launched_at": now(),
                **values,
            }
        )
        with self.database.write() as session:
            session.add(row)
        return row.id

    def host(self, name: str, **values: Any) -> str:
        """A compute host that reports; its service's id."""
        with self.database.write() as session:
            row = Service(id=str(uuid.uuid4()), binary="nova-compute", host=name, last_seen=now(), **values)
            session.add(row)
        return row.id

    def volume(self, owner: Api, **about: Any) -> str:
        """A volume of the owner's that can be attached."""
        url, token = self.settings.url("volume", "/v3/volumes"), {"X-Auth-Token": owner.token}
        made = httpx.post(url, json={"volume": {"size": 1, **about}}, headers=token, **HTTP).json()["volume"]
        end = time.monotonic() + 30
        while httpx.get(f"{url}/{made['id']}", headers=token, **HTTP).json()["volume"]["status"] != "available":
            assert time.monotonic() < end
            time.sleep(0.05)
        return str(made["id"])

    def row(self, server_id: str) -> Instance:
        with self.database.read() as session:
            return session.get_one(Instance, server_id)


@pytest.fixture(scope="package")
def cloud(openstack: OpenStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    settings = acting_as(openstack.join(tmp_path_factory.mktemp("compute")), "nova")
    with state_dir_in_environment(settings.state_dir), ExitStack() as running:
        database = Database("compute", state_dir=settings.state_dir)
        database.migrate()
        ledger = Ledger(database, KeyRing.load(settings.codec_keys))
        compute = create_compute(settings, ledger)
        apps = {
            "network": NetworkContract(api.network.app.create(settings)),
            "volume": api.volume.app.create(acting_as(settings, "cinder")),
            "compute": Contract(compute),
            "placement": PlacementContract(api.placement.app.create(settings)),
        }
        for service, app in apps.items():
            running.enter_context(served(app, settings.port(service)))
        yield Cloud(settings, database, ledger, compute)


@pytest.fixture(scope="package")
def admin(cloud: Cloud) -> Api:
    return cloud.user("admin")


@pytest.fixture(scope="package")
def service(cloud: Cloud) -> Api:
    """An administrator, who may report for any host; a host only for itself (test_host_credentials.py)."""
    return cloud.user("admin")


@pytest.fixture(scope="package")
def demo(cloud: Cloud, admin: Api) -> Api:
    """A member whose project many tests share, so that it has room for the volumes and networks of all of them."""
    member, room = cloud.tenant(admin), {"quota_set": {"volumes": 200, "gigabytes": 2000}}
    url = cloud.settings.url("volume", f"/v3/os-quota-sets/{member.project_id}")
    httpx.put(url, json=room, headers={"X-Auth-Token": admin.token}, **HTTP).raise_for_status()
    url = cloud.settings.url("network", f"/v2.0/quotas/{member.project_id}")
    wide = {"quota": dict.fromkeys(("network", "subnet", "port", "router", "security_group"), -1)}
    httpx.put(url, json=wide, headers={"X-Auth-Token": admin.token}, **HTTP).raise_for_status()
    return member


@pytest.fixture
def fresh(cloud: Cloud, admin: Api) -> Api:
    """A member of an empty project, for what lists or counts."""
    return cloud.tenant(admin)


@pytest.fixture(scope="package")
def other(cloud: Cloud, admin: Api) -> Api:
    """A member of another project."""
    return cloud.tenant(admin)


@pytest.fixture(scope="package")
def tiny(cloud: Cloud) -> Flavor:
    flavor = Flavor(id="tiny", name="m1.tiny", ram=64, vcpus=1, disk=1, extra_specs={"of my own": "y"})
    with cloud.database.write() as session:
        session.add(flavor)
    return flavor
