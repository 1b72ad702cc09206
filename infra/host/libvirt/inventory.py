"""What a host can offer, as its heartbeat reports it."""

import shutil
import time
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import psutil

from infra.contracts.abilities import OF_THIS_RELEASE, UEFI
from infra.host.files import firmware
from infra.host.files.paths import HostPaths
from infra.host.libvirt.connection import Connection
from infra.host.libvirt.virt_type import VirtType

GIB = 1 << 30
PRETENDED = {"vcpus": 1024, "memory_mb": 4 << 20, "disk_gb": 100_000}
"""The test driver's own host has 3 GiB; guests that do not exist need no more room than this pretends."""


def uptime() -> str:
    """What uptime(1) prints, which clients of the hypervisors API take apart."""
    up = timedelta(seconds=int(time.time() - psutil.boot_time()))
    hours, minutes = divmod(up.seconds // 60, 60)
    days = f"{up.days} days, " if up.days else ""
    load = ", ".join(f"{each:.2f}" for each in psutil.getloadavg())
    up_for = f"{datetime.now():%H:%M:%S} up {days}{hours:2}:{minutes:02}"
    return f" {up_for},  {len(psutil.users())} users,  load average: {load}"


class Inventory:
    """Facts that do not change are asked once per process."""

    def __init__(self, connection: Connection, paths: HostPaths, virt: VirtType, can: Collection[str] = ()) -> None:
        """`can`: what this host has beside its release's abilities."""
        self._libvirt, self._paths, self._virt, self._can = connection, paths, virt, {*can}
        self._fixed: dict[str, Any] = {}

    def __call__(self) -> dict[str, Any]:
        """vcpus, memory_mb, disk_gb, hypervisor_type, hypervisor_version, facts (cpu_info, virt_type, …)."""
        if not self._fixed:
            self._fixed = self._libvirt.call(self._ask)
        if self._virt.virt_type == "test":
            return {**self._fixed, **PRETENDED}
        self._paths.root.mkdir(parents=True, exist_ok=True)
        usage = shutil.disk_usage(self._paths.root)
        facts = {**self._fixed["facts"], "free_disk_gb": usage.free // GIB, "uptime": uptime()}
        return {**self._fixed, "disk_gb": usage.total // GIB, "facts": facts}

    def _ask(self, connection: Any) -> dict[str, Any]:
        arch, memory, cpus, _mhz, _nodes, sockets, cores, threads = connection.getInfo()
        cpu = ElementTree.fromstring(connection.getCapabilities()).find("./host/cpu")  # noqa: S314 - libvirt's own
        model = (cpu.findtext("model") if cpu is not None else None) or ""
        vendor = (cpu.findtext("vendor") if cpu is not None else None) or ""
        topology = {"sockets": sockets, "cores": cores, "threads": threads}
        return {
            "vcpus": cpus,
            "memory_mb": memory,
            "hypervisor_type": connection.getType(),
            "hypervisor_version": connection.getVersion(),
            "facts": {
                "cpu_info": {"arch": arch, "model": model, "vendor": vendor, "topology": topology, "features": []},
                "virt_type": self._virt.virt_type,
                "virt_reason": self._virt.reason,
                "abilities": sorted(OF_THIS_RELEASE | self._can | ({UEFI} if firmware.is_there() else set())),
            },
        }
