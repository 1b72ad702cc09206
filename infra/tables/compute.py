"""Tables of the compute service: what is. What is going on lives in the workflows."""

from datetime import UTC, datetime
from typing import Any

from pydantic import NaiveDatetime
from sqlalchemy import JSON, Index, MetaData, UniqueConstraint
from sqlmodel import Field, SQLModel

metadata = MetaData()


def now() -> datetime:
    """UTC without a zone, as both stores keep it."""
    return datetime.now(UTC).replace(tzinfo=None)


class Base(SQLModel):
    metadata = metadata


class Cloud(Base, table=True):
    """One row, made with the table: by its id a host knows the control plane that it belongs to."""

    __tablename__ = "cloud"
    id: str = Field(primary_key=True, max_length=36)


class Flavor(Base, table=True):
    """Memory in MiB, disks in GiB, swap in MiB."""

    __tablename__ = "flavors"
    id: str = Field(primary_key=True, max_length=255)
    name: str = Field(max_length=255, unique=True)
    ram: int
    vcpus: int
    disk: int = 0
    ephemeral: int = 0
    swap: int = 0
    rxtx_factor: float = 1.0
    is_public: bool = True
    disabled: bool = False
    description: str | None = None
    extra_specs: dict[str, str] = Field(default_factory=dict, sa_type=JSON)
    created_at: NaiveDatetime = Field(default_factory=now)


class FlavorAccess(Base, table=True):
    __tablename__ = "flavor_access"
    flavor_id: str = Field(primary_key=True, foreign_key="flavors.id", ondelete="CASCADE")
    project_id: str = Field(primary_key=True, max_length=64)


class KeyPair(Base, table=True):
    __tablename__ = "keypairs"
    user_id: str = Field(primary_key=True, max_length=64)
    name: str = Field(primary_key=True, max_length=255)
    type: str = "ssh"
    fingerprint: str
    public_key: str
    created_at: NaiveDatetime = Field(default_factory=now)


class Instance(Base, table=True):
    """One server. `vm_state`: building, active, stopped, paused, suspended, rescued, resized, shelved, error, deleted;
    `task_state` says what an operation is doing; `power_state` is libvirt's, in Nova's numbers."""

    __tablename__ = "instances"
    __table_args__ = (Index("ix_instances_project_deleted", "project_id", "deleted_at"),)
    id: str = Field(primary_key=True, max_length=36)
    project_id: str = Field(max_length=64)
    user_id: str = Field(max_length=64)
    reservation_id: str = Field(default="", index=True)
    launch_index: int = 0
    request_id: str = ""
    name: str = Field(max_length=255, index=True)
    description: str | None = None
    hostname: str = ""
    image_ref: str = ""
    image_properties: dict[str, str] = Field(default_factory=dict, sa_type=JSON)  # hw_*, os_*, img_* of what it boots
    trusted_certificates: list[str] | None = Field(default=None, sa_type=JSON)  # ids, as the body shows them
    flavor_id: str = ""
    flavor: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)  # as it was at boot (2.47: embedded)
    vcpus: int = 0
    memory_mb: int = 0
    root_gb: int = 0
    key_name: str | None = None
    availability_zone: str | None = None
    pinned_zone: str | None = None
    server_group_id: str | None = Field(default=None, max_length=36, index=True)
    # as the server's body shows them: name -> values
    scheduler_hints: dict[str, list[Any]] = Field(default_factory=dict, sa_type=JSON)
    config_drive: bool = False
    disk_config: str = Field(default="MANUAL", max_length=6)  # or AUTO
    host: str | None = Field(default=None, index=True)
    claims: int = 0  # claims made so far; numbers the attempts
    vm_state: str = "building"
    task_state: str | None = None
    power_state: int = 0
    locked_reason: str | None = None
    locked: bool = False
    locked_by: str | None = None  # owner | admin: an admin's lock is not the owner's to open
    progress: int = 0
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    server_metadata: dict[str, str] = Field(default_factory=dict, sa_type=JSON)
    tags: list[str] = Field(default_factory=list, sa_type=JSON)
    security_groups: list[str] = Field(default_factory=list, sa_type=JSON)
    # [{port_id, network_id, label, mac, fixed_ips: [address], device}], a cache of what the ports say
    networks: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)
    # [{volume_id, attachment_id, device, delete_on_termination, boot_index, tag}]
    volumes: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)
    # [LocalDisk]: what its host makes beside its root disk
    local_disks: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)
    # port id -> ours to delete: what a delete must know even when the sealed request cannot be opened
    requested_ports: dict[str, bool] = Field(default_factory=dict, sa_type=JSON)
    request_digest: str = Field(default="", max_length=64)  # of who asked for what: a repeat has the same
    sealed_password: str | None = None  # what the guest told as its password, which it encrypts for its owner's key
    sealed_request: str | None = None  # the boot request, encrypted: for `build retry` and user_data
    fault: dict[str, Any] | None = Field(default=None, sa_type=JSON)  # {code, message, details, created}
    parked: str | None = None  # the step at which a parked build waits
    created_at: NaiveDatetime = Field(default_factory=now, index=True)
    updated_at: NaiveDatetime = Field(default_factory=now)
    launched_at: NaiveDatetime | None = None
    deleted_at: NaiveDatetime | None = None


class Allocation(Base, table=True):
    """What one consumer holds of one host: vCPUs, MiB, GiB. Consumers are an instance (its id), a migration that keeps
    the old host until it is confirmed, a reservation. The key forbids two hosts; `attempt` fences off older claims."""

    __tablename__ = "allocations"
    consumer_id: str = Field(primary_key=True, max_length=36)
    instance_id: str = Field(max_length=36, index=True)
    kind: str = "instance"  # instance | migration | reservation
    host: str = Field(max_length=255, index=True)
    attempt: int
    vcpus: int
    memory_mb: int
    disk_gb: int
    created_at: NaiveDatetime = Field(default_factory=now)


class MigrationRecord(Base, table=True):
    """A resize, from its claim to its end. `status`: finished (waits), confirmed, reverted, error."""

    __tablename__ = "migrations"
    id: str = Field(primary_key=True, max_length=36)
    number: int
    instance_id: str = Field(max_length=36, index=True)
    request_id: str = Field(max_length=64)
    migration_type: str = "resize"
    status: str
    source_compute: str = Field(max_length=255)
    dest_compute: str = Field(max_length=255)
    old_flavor: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    new_flavor: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    old_vm_state: str
    old_local_disks: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)
    user_id: str = Field(max_length=64)
    project_id: str = Field(max_length=64)
    created_at: NaiveDatetime = Field(default_factory=now)
    updated_at: NaiveDatetime = Field(default_factory=now)


class Service(Base, table=True):
    """A process that reports: nova-compute on each host, nova-scheduler and nova-conductor for the control worker,
    nova-osapi_compute for the API (stores/listening.py)."""

    __tablename__ = "services"
    __table_args__ = (UniqueConstraint("binary", "host"),)
    id: str = Field(primary_key=True, max_length=36)
    number: int = Field(default=0)  # the integer id that microversions before 2.53 show
    binary: str
    host: str
    zone: str = "nova"  # of the aggregate that gives one, else `own_zone`
    own_zone: str = "nova"  # as the host reports it
    disabled: bool = False
    disabled_reason: str | None = None
    forced_down: bool = False
    last_seen: NaiveDatetime | None = None
    updated_at: NaiveDatetime = Field(default_factory=now)


class ComputeNode(Base, table=True):
    """Inventory that a compute worker reports with each heartbeat. `facts` holds cpu_info and hypervisor details."""

    __tablename__ = "compute_nodes"
    host: str = Field(primary_key=True, max_length=255)
    id: str = Field(max_length=36)
    number: int = 0
    vcpus: int
    memory_mb: int
    disk_gb: int
    hypervisor_type: str = "QEMU"
    hypervisor_version: int = 0
    host_ip: str = ""
    started_at: NaiveDatetime | None = None  # when the worker came up; a new value means it reconciled
    failed_builds: int = 0  # since the last one that succeeded here
    failed_at: NaiveDatetime | None = None
    facts: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)


class InstanceAction(Base, table=True):
    __tablename__ = "instance_actions"
    instance_id: str = Field(primary_key=True, max_length=36)
    request_id: str = Field(primary_key=True, max_length=64)
    action: str
    user_id: str
    project_id: str
    start_time: NaiveDatetime = Field(default_factory=now)
    finish_time: NaiveDatetime | None = None
    message: str | None = None


class ActionEvent(Base, table=True):
    """One step of an action. `result` is Success or Error; `details` is the error's text."""

    __tablename__ = "instance_action_events"
    __table_args__ = (Index("ix_events_action", "instance_id", "request_id"),)
    id: int | None = Field(default=None, primary_key=True)
    instance_id: str = Field(max_length=36)
    request_id: str = Field(max_length=64)
    event: str
    host: str | None = None
    attempt: int = 1
    start_time: NaiveDatetime
    finish_time: NaiveDatetime | None = None
    result: str | None = None
    details: str | None = None


class Quota(Base, table=True):
    __tablename__ = "quotas"
    project_id: str = Field(primary_key=True, max_length=64)
    resource: str = Field(primary_key=True, max_length=64)
    hard_limit: int


class ConsoleToken(Base, table=True):
    """A one-time right to a console; only the token's SHA-256 is kept."""

    __tablename__ = "console_tokens"
    token_hash: str = Field(primary_key=True, max_length=64)
    instance_id: str = Field(max_length=36, index=True)
    console_type: str = "novnc"
    target: str  # host:port, or unix_socket:PATH
    expires_at: NaiveDatetime
