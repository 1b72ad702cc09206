"""Services and hypervisors as JSON, right at every microversion."""

import json
from typing import Any

from api.compute.call import ComputeCall
from api.compute.records.hosts import COMPUTE, is_up
from api.compute.views import shapes
from api.compute.views.spans import at
from api.compute.views.states import micro
from infra.tables.compute import ComputeNode, Service

Json = dict[str, Any]
NOTHING = (0, 0, 0, 0)


def zone_of(service: Service) -> str:
    return service.zone if service.binary == COMPUTE else "internal"


def service_view(call: ComputeCall, service: Service) -> Json:
    shown = {
        "binary": service.binary,
        "host": service.host,
        "id": service.id if call.since(53) else service.number,
        "zone": zone_of(service),
        "status": "disabled" if service.disabled else "enabled",
        "state": "up" if is_up(call, service) else "down",
        "updated_at": micro(service.last_seen),
        "disabled_reason": service.disabled_reason,
        "forced_down": service.forced_down,
    }
    return at(call.version, shapes.Service, shown)


def hypervisor_view(call: ComputeCall, node: ComputeNode, service: Service) -> Json:
    return {
        "id": node.id if call.since(53) else node.number,
        "hypervisor_hostname": node.host,
        "state": "up" if is_up(call, service) else "down",
        "status": "disabled" if service.disabled else "enabled",
    }


def hypervisor_detail(
    call: ComputeCall, node: ComputeNode, service: Service, used: tuple[int, int, int, int] | None, busy: int
) -> Json:
    """`used`: vcpus, MiB, GiB and servers allocated there; `busy`: servers that an operation works on."""
    shown = hypervisor_view(call, node, service) | {
        "hypervisor_type": node.hypervisor_type,
        "hypervisor_version": node.hypervisor_version,
        "host_ip": node.host_ip,
        "service": {
            "id": service.id if call.since(53) else service.number,
            "host": node.host,
            "disabled_reason": service.disabled_reason,
        },
    }
    cpu_info = node.facts.get("cpu_info") or {}
    shown |= capacity(call, node, used) | {"current_workload": busy, "uptime": node.facts.get("uptime")}
    shown["cpu_info"] = cpu_info if call.since(28) else json.dumps(cpu_info)
    return at(call.version, shapes.Hypervisor, shown)


def capacity(call: ComputeCall, node: ComputeNode, used: tuple[int, int, int, int] | None) -> dict[str, int]:
    cpus, ram, disk, servers = used or NOTHING
    ram += call.settings.reserved_host_memory_mb
    return {
        "vcpus": node.vcpus,
        "memory_mb": node.memory_mb,
        "local_gb": node.disk_gb,
        "vcpus_used": cpus,
        "memory_mb_used": ram,
        "local_gb_used": disk,
        "free_ram_mb": node.memory_mb - ram,
        "free_disk_gb": node.disk_gb - disk,
        "running_vms": servers,
        "disk_available_least": node.disk_gb - disk,
    }
