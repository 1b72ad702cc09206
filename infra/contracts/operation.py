"""Inputs and results of the record steps with which every action on a server begins and ends."""

from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from infra.contracts.hypervisor import FlavorFacts, GuestConfig
from infra.contracts.local_disks import LocalDisk
from infra.contracts.requests import Cause, Fault, Requester
from infra.contracts.resize import Migration
from infra.contracts.step import Step


class Transition(BaseModel):
    """From which states an action may begin, and what it shows while it runs. Source: the decorators of Nova's
    compute API (`check_instance_state`). States are Nova's vm_state and task_state."""

    model_config = ConfigDict(frozen=True)

    event: str  # as `server event list` names the action
    verb: str  # as the 409 names it
    allowed: frozenset[str]  # vm_states
    doing: str  # task_state while it runs
    during: frozenset[str] = frozenset()  # task_states in which it may begin, besides none
    without_host: bool = False  # whether a server that is on no host will do
    shows: str = ""  # status meanwhile, where it is another than that of the vm_state
    shows_from: frozenset[str] = frozenset()  # vm_states of which that is so, when not of all


class Stands(Protocol):
    """Where a server's record stands."""

    @property
    def id(self) -> str: ...
    @property
    def vm_state(self) -> str: ...
    @property
    def task_state(self) -> str | None: ...
    @property
    def launched_at(self) -> datetime | None: ...
    @property
    def host(self) -> str | None: ...


STEPS_OF = 3
"""The steps that new requests ask for: 1 has one step on the host for an attachment, where 0 had two; with 2 a resize
takes along what lies beside the root disk, and tries more than one other host; with 3 what ends a guest asks first
whether its server has its volumes still."""


class ActionRequest(BaseModel):
    """POST /servers/{id}/action, checked: the body as its row in workflows/actions.py describes it."""

    requester: Requester
    instance_id: str
    action: str
    transition: Transition
    body: dict[str, Any] = {}
    deadline_s: float = 3600.0
    host: str = ""  # as the record had it when the action was asked for: by it the operation is found
    steps_of: int = 0  # by which a workflow knows, without a marker in its history, which steps to ask for
    follows: Cause | None = None  # refused (409) when it does not hold any more


class InstanceFacts(BaseModel):
    """What an operation must know of its server, read when it begins: hosts know no database (seed steps 14-19)."""

    instance_id: str
    over: bool = False  # this very request was carried out before: nothing is left to be done
    project_id: str = ""
    user_id: str = ""
    name: str = ""
    hostname: str = ""
    host: str = ""
    attempt: int = 0  # the claim's number
    zone: str = "nova"
    image_id: str = ""
    image_properties: dict[str, str] = {}
    trusted: list[str] = []  # certificates by which the signatures of its images must hold
    flavor: FlavorFacts | None = None
    vm_state: str = ""
    power_state: int = 0
    metadata: dict[str, str] = {}
    networks: list[dict[str, Any]] = []
    volumes: list[dict[str, Any]] = []
    local_disks: list[LocalDisk] = []
    ports: dict[str, bool] = {}  # port id -> ours to delete
    migration: Migration | None = None  # the resize that waits to be confirmed or reverted
    shelved_image: str = ""  # what it waits in while it is shelved; "" when it boots from a volume


class InstanceChange(BaseModel):
    """What an operation changed of its server; None leaves a field as it is. The names are columns, but for `cleared`,
    which names those that become null, `guest`, which goes into the sealed request, and `released`: the server holds
    nothing of its host any more."""

    vm_state: str | None = None
    power_state: int | None = None
    networks: list[dict[str, Any]] | None = None
    volumes: list[dict[str, Any]] | None = None
    local_disks: list[LocalDisk] | None = None
    requested_ports: dict[str, bool] | None = None
    image_ref: str | None = None
    image_properties: dict[str, str] | None = None
    trusted_certificates: list[str] | None = None
    disk_config: str | None = None
    name: str | None = None
    description: str | None = None
    hostname: str | None = None
    key_name: str | None = None
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    server_metadata: dict[str, str] | None = None
    flavor: FlavorFacts | None = None
    flavor_id: str | None = None
    vcpus: int | None = None
    memory_mb: int | None = None
    root_gb: int | None = None
    cleared: list[str] = []
    pinned_zone: str | None = None
    availability_zone: str | None = None
    released: bool = False
    guest: GuestConfig | None = None


class ActionEnd(BaseModel):
    """The last word of an action. `error` is its reason for the event list; `fault` puts the server into ERROR."""

    instance_id: str
    request_id: str
    steps: list[Step]
    change: InstanceChange = InstanceChange()
    error: str | None = None
    fault: Fault | None = None
