"""What libvirt keeps of a domain, as text: read, and written back."""

from dataclasses import dataclass
from typing import Any

import libvirt

from infra.host.libvirt.connection import Connection
from infra.host.libvirt.faults import is_missing, is_wrong_state
from infra.host.libvirt.looks import find

STOP_S = 60.0


@dataclass(frozen=True)
class Written:
    """A domain as it was defined just now: who starts it need not look for it, nor ask what is in its definition."""

    domain: Any
    xml: str


class Definitions:
    """All methods raise LibvirtDown, or libvirtError for what libvirt refuses."""

    def __init__(self, connection: Connection) -> None:
        self._libvirt = connection

    def read(self, instance_id: str) -> str | None:
        """XML of the domain as it will be at its next start; None when there is none."""

        def work(connection: Any) -> str | None:
            domain = find(connection, instance_id)
            return str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)) if domain is not None else None

        return self._libvirt.call(work)

    def live(self, instance_id: str) -> str | None:
        """XML of the guest that runs; None when it does not."""

        def work(connection: Any) -> str | None:
            domain = find(connection, instance_id)
            return str(domain.XMLDesc(0)) if domain is not None and domain.isActive() else None

        return self._libvirt.call(work)

    def write(self, xml: str) -> Written:
        return self._libvirt.call(lambda connection: Written(connection.defineXML(xml), xml))

    def forget_memory(self, instance_id: str) -> None:
        """Memory that was saved of the guest goes, so that it begins from its disk. Absent is fine."""

        def work(connection: Any) -> None:
            domain = find(connection, instance_id)
            if domain is not None and domain.hasManagedSaveImage(0):
                domain.managedSaveRemove(0)

        self._libvirt.call(work)

    def stop(self, instance_id: str) -> None:
        """End the guest at once. One that is off, or absent, is left alone."""

        def work(connection: Any) -> None:
            domain = find(connection, instance_id)
            if domain is None:
                return
            try:
                domain.destroy()
            except libvirt.libvirtError as error:
                if not is_wrong_state(error) and not is_missing(error):
                    raise

        self._libvirt.call(work, STOP_S)


def revive(connection: Any, kept: dict[str, tuple[str, bool]]) -> None:
    """The test driver's domains live in its daemon's memory; a real hypervisor's outlive theirs."""
    for instance_id, (text, running) in kept.items():
        domain = find(connection, instance_id) or connection.defineXML(text)
        try:
            if running:
                domain.create()
        except libvirt.libvirtError:
            if not domain.isActive():  # else it never stopped, or another connection was faster
                raise
