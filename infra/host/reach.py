"""Whether servers of volumes take a connection."""

import socket
from collections.abc import Iterable, Mapping

from infra.contracts.errors import host_cannot
from infra.host.libvirt.domain_xml import servers


def unreachable(servers: Iterable[tuple[str, int]]) -> str:
    """The first volume server that takes no connection, as host:port (or path:0 of a UNIX socket), else ""."""
    for host, port in sorted(servers):
        try:
            if port:
                socket.create_connection((host, port), timeout=2.0).close()
            else:
                with socket.socket(socket.AF_UNIX) as local:
                    local.settimeout(2.0)
                    local.connect(host)
        except OSError:
            return f"{host}:{port}"
    return ""


def lost(disks: Mapping[str, str]) -> list[str]:
    """Those devices of `disks` (device → XML) whose server takes no connection."""
    return [device for device, xml in sorted(disks.items()) if unreachable(servers([xml]))]


def require_volumes(disks: Mapping[str, str]) -> None:
    """HostCannot where a guest that is ended now could not have its volumes again."""
    if gone := lost(disks):
        raise host_cannot(f"the volume at {', '.join(f'/dev/{device}' for device in gone)} does not answer")
