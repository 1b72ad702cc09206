"""What a guest waits for that QEMU paused because a disk did not answer."""

from typing import Any

import libvirt

from infra.host.libvirt.connection import Connection
from infra.host.libvirt.faults import is_missing, is_wrong_state
from infra.host.libvirt.looks import marks_of, tolerating


class DiskWaits:
    def __init__(self, connection: Connection, host: str) -> None:
        self._libvirt, self._host = connection, host

    def all(self) -> dict[str, list[str]]:
        """This host's instances that wait for disks, each with what `waited_for` says of it."""

        def work(connection: Any) -> dict[str, list[str]]:
            return {
                domain.UUIDString(): _errors(domain)
                for domain, stats in connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE)
                if _is_wait(stats.get("state.state"), stats.get("state.reason"))
                and (marks_of(domain) or ("",))[0] == self._host
            }

        return self._libvirt.call(work)


def waited_for(domain: Any) -> list[str] | None:
    """Devices of the disks that have answered with an error since the guest was started (QEMU forgets none of them);
    None for a guest that waits for no disk. Empty where libvirt cannot tell which."""
    if domain is None:
        return None
    with tolerating(is_missing):
        state, reason = domain.state()
        return _errors(domain) if _is_wait(state, reason) else None
    return None


def _is_wait(state: int | None, reason: int | None) -> bool:
    """Of one that was paused by somebody meanwhile as well: libvirt keeps the first reason."""
    return (state, reason) == (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR)


def _errors(domain: Any) -> list[str]:
    with tolerating(is_missing, is_wrong_state):
        return sorted(domain.diskErrors())
    return []
