"""What a host knows of a guest's use of it. Source: Compute API reference, "Servers diagnostics".

Names are those of the API from 2.48; times in nanoseconds, memory in KiB; None is not known."""

from pydantic import BaseModel


class CpuUse(BaseModel):
    id: int
    time: int


class DiskUse(BaseModel):
    device: str
    read_bytes: int
    read_requests: int
    write_bytes: int
    write_requests: int
    errors_count: int | None = None


class NicUse(BaseModel):
    device: str
    mac_address: str
    rx_octets: int
    rx_packets: int
    rx_errors: int
    rx_drop: int
    tx_octets: int
    tx_packets: int
    tx_errors: int
    tx_drop: int


class Diagnostics(BaseModel):
    """`memory`: libvirt's own names, such as `actual`, `rss`, `available`."""

    state: str
    hypervisor: str
    memory_max_kib: int
    memory_kib: int
    memory: dict[str, int] = {}
    cpus: list[CpuUse] = []
    disks: list[DiskUse] = []
    nics: list[NicUse] = []
