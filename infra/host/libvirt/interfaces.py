"""Interfaces of one domain, in its definition and in the guest that runs."""

from typing import Any
from xml.etree import ElementTree

import libvirt

from infra.host.libvirt.connection import Connection
from infra.host.libvirt.faults import is_missing, is_no_device, is_wrong_state
from infra.host.libvirt.looks import find, nics

PLUG_S = 60.0
LIVE, KEPT = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG


class Interfaces:
    """All methods raise LibvirtDown, or libvirtError for what libvirt refuses. An interface is known by its MAC
    address; a domain that is absent has none."""

    def __init__(self, connection: Connection) -> None:
        self._libvirt = connection

    def plug(self, instance_id: str, mac: str, xml: str) -> None:
        """Into the guest if it runs, and into what it starts from. Where it is already it is left alone."""

        def work(connection: Any) -> None:
            domain = find(connection, instance_id)
            for flag in _states(domain):
                if mac not in nics(_text(domain, flag)):
                    domain.attachDeviceFlags(xml, flag)

        self._libvirt.call(work, PLUG_S)

    def ask_back(self, instance_id: str, mac: str) -> None:
        """Ask a running guest to give it back, which it does when it likes."""
        self._libvirt.call(lambda c: _detach(find(c, instance_id), mac, LIVE), PLUG_S)

    def forget(self, instance_id: str, mac: str) -> None:
        """The guest starts without it from now on."""
        self._libvirt.call(lambda c: _detach(find(c, instance_id), mac, KEPT), PLUG_S)

    def has(self, instance_id: str, mac: str) -> bool:
        """Whether the running guest has it."""

        def work(connection: Any) -> bool:
            domain = find(connection, instance_id)
            return LIVE in _states(domain) and mac in nics(_text(domain, LIVE))

        return self._libvirt.call(work)


def with_interface(definition: str, mac: str, xml: str | None) -> str:
    """The definition with this interface and no other of its address; None takes it out."""
    domain = ElementTree.fromstring(definition)  # noqa: S314 - libvirt wrote it
    devices = domain.find("devices")
    assert devices is not None
    for interface in devices.findall("interface"):
        address = interface.find("mac")
        if address is not None and address.get("address") == mac:
            devices.remove(interface)
    if xml is not None:
        devices.append(ElementTree.fromstring(xml))  # noqa: S314 - we wrote it
    return ElementTree.tostring(domain, "unicode")


def placeless(xml: str) -> str:
    """The interface without its place on the definition's bus: in the guest that runs another device may have that."""
    interface = ElementTree.fromstring(xml)  # noqa: S314 - libvirt wrote it
    for place in interface.findall("address"):
        interface.remove(place)
    return ElementTree.tostring(interface, "unicode")


def _states(domain: Any) -> list[int]:
    if domain is None:
        return []
    return [LIVE, KEPT] if domain.isActive() else [KEPT]


def _text(domain: Any, flag: int) -> str:
    return str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE if flag == KEPT else 0))


def _detach(domain: Any, mac: str, flag: int) -> None:
    if flag not in _states(domain) or (found := nics(_text(domain, flag)).get(mac)) is None:
        return
    try:
        domain.detachDeviceFlags(found, flag)
    except libvirt.libvirtError as error:  # stopped meanwhile, gone meanwhile, or asked before
        if not any(kind(error) for kind in (is_wrong_state, is_missing, is_no_device)):
            raise
