"""What the compute API hands to a workflow, and what it gets back before it answers 202."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from infra.contracts.injected_files import InjectedFile
from infra.contracts.local_disks import LocalDisk
from infra.contracts.network import PortRequest
from infra.contracts.step import Step
from infra.contracts.volume import VolumeRequest


class Requester(BaseModel):
    """Who asked, with the token that the workflow's first step validates again (seed steps 4-5)."""

    token: str
    user_id: str
    project_id: str
    request_id: str  # req-<uuid>, the action's id in `server event list`


class Cause(BaseModel):
    """What a later request follows from: it begins only while the server is in `vm_state`, and this request was the
    last of its kind (`event`, as `server event list` names it) on the server."""

    event: str
    request_id: str
    vm_state: str


BUILD_OF = 1
"""What new builds do: 1 tells Temporal its host once it has run for a while, or ends, where 0 told it at once."""


class BootRequest(BaseModel):
    """POST /servers, checked and resolved: ids instead of names, every id chosen before its thing exists."""

    requester: Requester
    instance_id: str
    name: str
    hostname: str
    description: str | None = None
    reservation_id: str = ""
    launch_index: int = 0
    image_id: str = ""  # "" boots from a volume
    trusted_certificates: list[str] = []  # by which the image's signature must hold; with none it is not looked at
    image_properties: dict[str, str] = {}  # hw_*, os_* and img_* of the image, or of the volume's
    flavor_id: str
    availability_zone: str | None = None  # as asked: a zone; None leaves it to the scheduler
    forced_host: str | None = None  # "zone:host", admins only
    requested_host: str | None = None  # 2.74: `host`, filters still apply
    hints: dict[str, str] = {}  # kilonova:on_failure = park | unwind; others are kept
    shown_hints: dict[str, list[Any]] = {}  # as the tenant gave them; `same_host` and `different_host` name servers
    server_group: str | None = None  # its id
    group_members: int = -1  # the quota of servers in one group; -1 is unlimited
    key_name: str | None = None
    public_key: str | None = None
    admin_pass: str
    user_data: str | None = None  # base64
    injected_files: list[InjectedFile] = []
    disk_config: str = "MANUAL"  # or AUTO: recorded and shown; the guest grows its partition itself
    config_drive: bool = False  # what the tenant asked; the guest gets one in any case
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    metadata: dict[str, str] = {}
    tags: list[str] = []
    security_groups: list[str] = []  # ids
    security_group_names: list[str] = []  # as shown in the server's body
    ports: list[PortRequest] = []
    volumes: list[VolumeRequest] = []
    local_disks: list[LocalDisk] = []  # ephemeral and swap, made by the host
    quota: dict[str, int] = {}  # limits in force: instances, cores, ram; -1 is unlimited
    action: str = "create"  # as `server event list` names it; "retry" when a failed build runs again
    digest: str = ""  # SHA-256 of the request's body
    repeatable: bool = False  # the id follows from the client's key: the record may know an earlier request
    max_hosts: int = 3
    deadline_s: float = 3600.0
    park_deadline_s: float = 86400.0
    build_of: int = 0  # by which the workflow knows, without a marker in its history, what it does


class Accepted(BaseModel):
    """The record is durable; the API may answer 202."""

    instance_id: str
    admin_pass: str = ""
    answer: dict[str, Any] = {}  # what an action's body tells the client, such as an image's id


class GivenUp(StrEnum):
    """Why the API cancels what runs on a server, as its event tells. Operators cancel in Temporal itself."""

    HARD_REBOOT = "for a hard reboot"
    RESET = "for a reset of the server's state"


class Fault(BaseModel):
    """Why a server is in ERROR. `message` is for the tenant; `details` only admins see."""

    code: int = 500
    message: str
    details: str = ""


class CutOff(BaseModel):
    """The operation that a delete ended: its action closes with these steps.

    `left`: columns of the server's record, as they hold while an undo was given up (its host is silent)."""

    request_id: str
    steps: list[Step]
    left: dict[str, Any] = {}


class DeleteRequest(BaseModel):
    requester: Requester
    instance_id: str
    keep_as: Fault | None = None  # undo everything, but keep the record, in ERROR (a build whose workflow was lost)
    cut_off: CutOff | None = None
    follows: Cause | None = None  # nothing is deleted when it does not hold any more
    reclaim_after_s: float = 0  # it is only stopped, and deleted after so long unless it is restored; 0: deleted now
