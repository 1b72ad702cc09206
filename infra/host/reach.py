"""Whether servers of volumes answer."""

import socket
import struct
from collections.abc import Iterable, Mapping

from infra.contracts.errors import host_cannot
from infra.host.libvirt.domain_xml import servers

PATIENCE_S = 2.0
GREETING, REPLY = 18, 20
"""Octets that a server of NBD says first, and with which it answers an option without data."""
ABORT = struct.pack(">I8sII", 3, b"IHAVEOPT", 2, 0)
"""What a client says that wants nothing. Source: the NBD protocol, "Newstyle negotiation"."""


def unreachable(servers: Iterable[tuple[str, int]]) -> str:
    """The first volume server that does not answer, as host:port (or path:0 of a UNIX socket), else ""."""
    return next((f"{host}:{port}" for host, port in sorted(servers) if _failure(host, port)), "")


def _failure(host: str, port: int) -> OSError | None:
    try:
        if port:  # by TLS it answers nobody before that begins
            socket.create_connection((host, port), timeout=PATIENCE_S).close()
        else:
            _ask(host)
    except OSError as error:
        return error
    return None


def _ask(path: str) -> None:
    """The gate takes connections and greets whatever the storage daemon behind it does, which answers this."""
    with socket.socket(socket.AF_UNIX) as local:
        local.settimeout(PATIENCE_S)
        local.connect(path)
        local.sendall(ABORT)
        left = GREETING + REPLY
        while left:
            if not (some := local.recv(left)):
                raise ConnectionResetError(path)
            left -= len(some)


def lost(disks: Mapping[str, str]) -> list[str]:
    """Those devices of `disks` (device → XML) whose server does not answer."""
    return [device for device, xml in sorted(disks.items()) if unreachable(servers([xml]))]


def silent(disks: Mapping[str, str]) -> str:
    """In words, which volumes among them do not answer; "" when all do."""
    return _in_words(lost(disks))


def hanging(disks: Mapping[str, str]) -> str:
    """The same, of those whose server takes a connection and is silent: what QEMU asks of it, it waits for. One that is
    gone has QEMU see an error."""
    return _in_words(
        [
            device
            for device, xml in sorted(disks.items())
            if any(isinstance(_failure(host, port), TimeoutError) for host, port in servers([xml]))
        ]
    )


def _in_words(devices: list[str]) -> str:
    gone = ", ".join(f"/dev/{device}" for device in devices)
    return f"volume at {gone} does not answer" if gone else ""


def require_volumes(disks: Mapping[str, str]) -> None:
    """HostCannot where a guest that is ended now could not have its volumes again."""
    if words := silent(disks):
        raise host_cannot(f"the {words}")
