"""Objects of the compute API's answers, as far as their attributes come and go. Source: Compute API reference."""

from typing import Annotated, Any

from pydantic import Field

from api.compute.views.spans import Shown
from workflows.body import Since

PREFIX = "OS-EXT-SRV-ATTR:"


def _admins(name: str) -> Any:
    return Field(None, alias=PREFIX + name)


class ImageOfServer(Shown):
    properties: Annotated[Any, Since(98)]


class FlavorOfServer(Shown):
    """By reference, then embedded as it was at boot."""

    id: Annotated[Any, Since(1, 46)]
    links: Annotated[Any, Since(1, 46)]
    vcpus: Annotated[Any, Since(47)]
    ram: Annotated[Any, Since(47)]
    disk: Annotated[Any, Since(47)]
    ephemeral: Annotated[Any, Since(47)]
    swap: Annotated[Any, Since(47)]
    original_name: Annotated[Any, Since(47)]
    extra_specs: Annotated[Any, Since(47)]


class VolumeOfServer(Shown):
    delete_on_termination: Annotated[Any, Since(3)]


class Server(Shown):
    image: ImageOfServer
    flavor: FlavorOfServer
    volumes: list[VolumeOfServer] = Field([], alias="os-extended-volumes:volumes_attached")
    reservation_id: Annotated[Any, Since(3)] = _admins("reservation_id")
    launch_index: Annotated[Any, Since(3)] = _admins("launch_index")
    hostname: Annotated[Any, Since(3)] = _admins("hostname")
    kernel_id: Annotated[Any, Since(3)] = _admins("kernel_id")
    ramdisk_id: Annotated[Any, Since(3)] = _admins("ramdisk_id")
    root_device_name: Annotated[Any, Since(3)] = _admins("root_device_name")
    user_data: Annotated[Any, Since(3)] = _admins("user_data")
    locked: Annotated[Any, Since(9)]
    host_status: Annotated[Any, Since(16)]
    description: Annotated[Any, Since(19)]
    tags: Annotated[Any, Since(26)]
    trusted_image_certificates: Annotated[Any, Since(63)]
    server_groups: Annotated[Any, Since(71)]
    locked_reason: Annotated[Any, Since(73)]
    pinned_availability_zone: Annotated[Any, Since(96)]
    scheduler_hints: Annotated[Any, Since(100)]


class TenantsServer(Server):
    """As somebody sees it who may not see what admins do."""

    hostname: Annotated[Any, Since(90)] = _admins("hostname")


class Flavor(Shown):
    description: Annotated[Any, Since(55)]
    extra_specs: Annotated[Any, Since(61)]
    rxtx_factor: Annotated[Any, Since(1, 101)]
    disabled: Annotated[Any, Since(1, 101)] = Field(None, alias="OS-FLV-DISABLED:disabled")


class KeyPair(Shown):
    type: Annotated[Any, Since(2)]


class Service(Shown):
    forced_down: Annotated[Any, Since(11)]


class Hypervisor(Shown):
    """Its inventory is Placement's from 2.88 on."""

    vcpus: Annotated[Any, Since(1, 87)]
    memory_mb: Annotated[Any, Since(1, 87)]
    local_gb: Annotated[Any, Since(1, 87)]
    vcpus_used: Annotated[Any, Since(1, 87)]
    memory_mb_used: Annotated[Any, Since(1, 87)]
    local_gb_used: Annotated[Any, Since(1, 87)]
    free_ram_mb: Annotated[Any, Since(1, 87)]
    free_disk_gb: Annotated[Any, Since(1, 87)]
    running_vms: Annotated[Any, Since(1, 87)]
    disk_available_least: Annotated[Any, Since(1, 87)]
    current_workload: Annotated[Any, Since(1, 87)]
    cpu_info: Annotated[Any, Since(1, 87)]
    uptime: Annotated[Any, Since(88)]


class VolumeAttachment(Shown):
    id: Annotated[Any, Since(1, 88)]
    tag: Annotated[Any, Since(70)]
    delete_on_termination: Annotated[Any, Since(79)]
    attachment_id: Annotated[Any, Since(89)]
    bdm_uuid: Annotated[Any, Since(89)]


class Interface(Shown):
    tag: Annotated[Any, Since(70)]


class Migration(Shown):
    migration_type: Annotated[Any, Since(23)]
    uuid: Annotated[Any, Since(59)]
    user_id: Annotated[Any, Since(80)]
    project_id: Annotated[Any, Since(80)]


class InstanceAction(Shown):
    updated_at: Annotated[Any, Since(58)]


class ActionEvent(Shown):
    host_id: Annotated[Any, Since(62)] = Field(None, alias="hostId")
    host: Annotated[Any, Since(62)]
    details: Annotated[Any, Since(84)]


class ServerGroup(Shown):
    project_id: Annotated[Any, Since(13)]
    user_id: Annotated[Any, Since(13)]
    policies: Annotated[Any, Since(1, 63)]
    metadata: Annotated[Any, Since(1, 63)]
    policy: Annotated[Any, Since(64)]
    rules: Annotated[Any, Since(64)]


class Aggregate(Shown):
    uuid: Annotated[Any, Since(41)]
