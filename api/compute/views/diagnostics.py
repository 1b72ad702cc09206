"""A guest's use of its host as JSON: one flat object of libvirt's names before 2.48, a described one from then on."""

from typing import Any

from sqlalchemy import RowMapping

from infra.contracts.diagnostics import Diagnostics
from infra.tables.compute import now

OLD_NIC = {"": "octets", "_packets": "packets", "_errors": "errors", "_drop": "drop"}
"""Suffix before 2.48 → the word since."""


def old_view(known: Diagnostics) -> dict[str, int]:
    shown = {f"cpu{cpu.id}_time": cpu.time for cpu in known.cpus}
    for disk in known.disks:
        errors = -1 if disk.errors_count is None else disk.errors_count
        counts = {"read": disk.read_bytes, "read_req": disk.read_requests, "errors": errors}
        counts |= {"write": disk.write_bytes, "write_req": disk.write_requests}
        shown |= {f"{disk.device}_{name}": count for name, count in counts.items()}
    for nic in known.nics:
        counted = nic.model_dump()
        shown |= {
            f"{nic.device}_{way}{suffix}": counted[f"{way}_{word}"]
            for way in ("rx", "tx")
            for suffix, word in OLD_NIC.items()
        }
    shown["memory"] = known.memory_max_kib
    return shown | {f"memory-{name}": value for name, value in known.memory.items()}


def view(known: Diagnostics, row: RowMapping) -> dict[str, Any]:
    """From 2.48. Memory in MiB; rates and utilisation are not measured."""
    launched = row["launched_at"]
    return {
        "state": known.state,
        "driver": "libvirt",
        "hypervisor": known.hypervisor,
        "hypervisor_os": "linux",
        "uptime": int((now() - launched).total_seconds()) if launched else None,
        "config_drive": bool(row["config_drive"]),
        "num_cpus": len(known.cpus),
        "num_disks": len(known.disks),
        "num_nics": len(known.nics),
        "memory_details": {"maximum": known.memory_max_kib >> 10, "used": known.memory_kib >> 10},
        "cpu_details": [{**cpu.model_dump(), "utilisation": None} for cpu in known.cpus],
        "disk_details": [disk.model_dump(exclude={"device"}) for disk in known.disks],
        "nic_details": [{**nic.model_dump(exclude={"device"}), "rx_rate": None, "tx_rate": None} for nic in known.nics],
    }
