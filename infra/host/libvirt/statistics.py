"""A running guest's use of its host. Source: libvirt's virDomainListGetStats and virDomainMemoryStats."""

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import libvirt

from infra.contracts.diagnostics import CpuUse, Diagnostics, DiskUse, NicUse
from infra.host.libvirt.connection import Connection
from infra.host.libvirt.faults import is_missing

ASKED = (
    libvirt.VIR_DOMAIN_STATS_STATE
    | libvirt.VIR_DOMAIN_STATS_VCPU
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_INTERFACE
    | libvirt.VIR_DOMAIN_STATS_BLOCK
)
NIC = {"octets": "bytes", "packets": "pkts", "errors": "errs", "drop": "drop"}
"""The API's word → libvirt's."""


class Statistics:
    """Raises LibvirtDown, or libvirtError for what libvirt refuses."""

    def __init__(self, connection: Connection) -> None:
        self._libvirt = connection

    def of(self, instance_id: str, state: str) -> Diagnostics | None:
        """None when the guest does not run."""

        def work(connection: Any) -> Diagnostics | None:
            try:
                domain = connection.lookupByUUIDString(instance_id)
                if not domain.isActive():
                    return None
                ((_, stats),) = connection.domainListGetStats([domain], ASKED)
                return _told(domain, stats, state)
            except libvirt.libvirtError as error:
                if is_missing(error):
                    return None
                raise

        return self._libvirt.call(work)


def _told(domain: Any, stats: dict[str, Any], state: str) -> Diagnostics:
    _state, most, now, _cpus, _time = domain.info()
    xml = ElementTree.fromstring(domain.XMLDesc(0))  # noqa: S314 - libvirt wrote it
    return Diagnostics(
        state=state,
        hypervisor=xml.get("type", ""),
        memory_max_kib=most,
        memory_kib=now,
        memory=domain.memoryStats(),
        cpus=[CpuUse(id=n, time=stats.get(f"vcpu.{n}.time", 0)) for n in range(stats.get("vcpu.current", 0))],
        disks=list(_disks(stats)),
        nics=list(_nics(stats, _macs(xml))),
    )


def _disks(stats: dict[str, Any]) -> Iterator[DiskUse]:
    for n in range(stats.get("block.count", 0)):
        known = {name: stats.get(f"block.{n}.{name}") for name in ("rd.bytes", "rd.reqs", "wr.bytes", "wr.reqs")}
        yield DiskUse(
            device=stats[f"block.{n}.name"],
            read_bytes=known["rd.bytes"] or 0,
            read_requests=known["rd.reqs"] or 0,
            write_bytes=known["wr.bytes"] or 0,
            write_requests=known["wr.reqs"] or 0,
            errors_count=stats.get(f"block.{n}.errors"),
        )


def _nics(stats: dict[str, Any], macs: dict[str, str]) -> Iterator[NicUse]:
    for n in range(stats.get("net.count", 0)):
        device = stats[f"net.{n}.name"]
        counts = {
            f"{way}_{word}": stats.get(f"net.{n}.{way}.{name}", 0) for way in ("rx", "tx") for word, name in NIC.items()
        }
        yield NicUse(device=device, mac_address=macs.get(device, ""), **counts)


def _macs(xml: ElementTree.Element) -> dict[str, str]:
    """Name of the tap → MAC address."""
    found = {}
    for card in xml.iterfind("./devices/interface"):
        target, mac = card.find("target"), card.find("mac")
        if target is not None and mac is not None:
            found[target.get("dev", "")] = mac.get("address", "")
    return found
