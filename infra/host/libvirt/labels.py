"""The user that a domain's QEMU runs as, where the domain itself names one. Source: libvirt.org/formatdomain.html."""

import re
from functools import cache
from typing import Any
from xml.etree.ElementTree import Element, SubElement, fromstring

import libvirt

from infra.host.libvirt.connection import Connection, run_event_loop
from infra.host.libvirt.faults import is_missing

LABEL = re.compile(r"\+(\d+):\+(\d+)")
DAC = "dac"


def add_label(domain: Element, uid: int) -> None:
    """QEMU becomes this user and group. Its files' owners are set by us, so that libvirt changes none."""
    label = SubElement(domain, "seclabel", type="static", model=DAC, relabel="no")
    SubElement(label, "label").text = f"+{uid}:+{uid}"


def label_in(xml: str) -> int | None:
    """The user that a domain's definition names; None when it leaves that to libvirt."""
    text = fromstring(xml).findtext(f"./seclabel[@model='{DAC}']/label")  # noqa: S314 - libvirt wrote it
    found = LABEL.fullmatch(text or "")
    return int(found[1]) if found else None


class Labels:
    """Raises LibvirtDown, or libvirtError for what libvirt refuses: then nobody knows which users are taken."""

    def __init__(self, connection: Connection) -> None:
        self._libvirt = connection
        self._obeyed: bool | None = None

    def obeyed(self) -> bool:
        """Whether this libvirtd gives each domain a user of its own: only one that runs as root has this driver."""
        if self._obeyed is None:
            self._obeyed = self._libvirt.call(_has_dac)
        return self._obeyed

    def all(self) -> dict[str, int]:
        """instance id → user, of every domain of this libvirtd that names one, ours or not."""
        return self._libvirt.call(_labels)


@cache
def labels_at(uri: str) -> Labels:
    """One connection for each libvirtd, opened when it is first asked."""
    run_event_loop()
    return Labels(Connection(uri))


def _has_dac(connection: Any) -> bool:
    capabilities = fromstring(connection.getCapabilities())  # noqa: S314 - libvirt wrote it
    return DAC in {each.text for each in capabilities.iterfind("./host/secmodel/model")}


def _labels(connection: Any) -> dict[str, int]:
    found = {}
    for domain in connection.listAllDomains():
        try:
            uid = label_in(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        except libvirt.libvirtError as error:
            if is_missing(error):
                continue
            raise
        if uid is not None:
            found[domain.UUIDString()] = uid
    return found
