"""Bodies about services, quotas and hosts."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from api.compute.validation import Host, Natural, Strict, Uuid
from workflows.body import Since

Reason = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Limit = Annotated[
    int, BeforeValidator(lambda value: None if isinstance(value, bool) else value), Field(ge=-1, le=0x7FFFFFFF)
]


class ServiceUpdate(Strict):
    """PUT /os-services/{id} from 2.53 on."""

    status: Literal["enabled", "disabled"] | None = None
    disabled_reason: Reason | None = None
    forced_down: bool | None = None


class ServiceAction(Strict):
    """PUT /os-services/{enable, disable, …} before 2.53."""

    host: Host
    binary: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    disabled_reason: Reason | None = None
    forced_down: bool | None = None


class QuotaUpdate(Strict):
    force: bool = False
    instances: Limit | None = None
    cores: Limit | None = None
    ram: Limit | None = None
    metadata_items: Limit | None = None
    key_pairs: Limit | None = None
    server_groups: Limit | None = None
    server_group_members: Limit | None = None
    fixed_ips: Annotated[Limit | None, Since(1, 35)] = None
    floating_ips: Annotated[Limit | None, Since(1, 35)] = None
    security_groups: Annotated[Limit | None, Since(1, 35)] = None
    security_group_rules: Annotated[Limit | None, Since(1, 35)] = None
    injected_files: Annotated[Limit | None, Since(1, 56)] = None
    injected_file_content_bytes: Annotated[Limit | None, Since(1, 56)] = None
    injected_file_path_bytes: Annotated[Limit | None, Since(1, 56)] = None
    networks: Annotated[Limit | None, Since(1, 35)] = None


class QuotaClassUpdate(Strict):
    """Source: Compute API reference, PUT /os-quota-class-sets/{id}."""

    instances: Limit | None = None
    cores: Limit | None = None
    ram: Limit | None = None
    metadata_items: Limit | None = None
    key_pairs: Limit | None = None
    server_groups: Annotated[Limit | None, Since(50)] = None
    server_group_members: Annotated[Limit | None, Since(50)] = None
    fixed_ips: Annotated[Limit | None, Since(1, 49)] = None
    floating_ips: Annotated[Limit | None, Since(1, 49)] = None
    security_groups: Annotated[Limit | None, Since(1, 49)] = None
    security_group_rules: Annotated[Limit | None, Since(1, 49)] = None
    injected_files: Annotated[Limit | None, Since(1, 56)] = None
    injected_file_content_bytes: Annotated[Limit | None, Since(1, 56)] = None
    injected_file_path_bytes: Annotated[Limit | None, Since(1, 56)] = None


class HostReport(Strict):
    """A compute host's heartbeat. Memory in MiB, disk in GiB; `started_at` is when its worker came up."""

    NULLABLE: ClassVar = {"started_at"}

    vcpus: Natural
    memory_mb: Natural
    disk_gb: Natural
    hypervisor_type: str = "QEMU"
    hypervisor_version: Natural = 0
    host_ip: str = ""
    zone: str = "nova"
    started_at: str | None = None
    cloud_id: str = ""  # of the control plane that the host first spoke to; "" at its first contact
    facts: dict[str, Any] = {}


class HostInstances(Strict):
    """Instances that a host has something of, with the attempt of each guest (0: it has none, or one without)."""

    instances: Annotated[dict[Uuid, Natural], Field(max_length=1000)]


class HostLeft(Strict):
    """What operations left of instances; see `infra.contracts.left`."""

    left: Annotated[dict[Uuid, dict[str, str]], Field(max_length=1000)]


class GuestEvent(Strict):
    instance_id: Uuid
    power_state: Literal[0, 1, 3, 4, 6, 7]
    reason: str = ""


class GuestEvents(Strict):
    events: Annotated[list[GuestEvent], Field(max_length=1000)]


class ConsoleUse(Strict):
    token: Annotated[str, StringConstraints(min_length=1, max_length=255)]


class GuestPassword(Strict):
    text: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
