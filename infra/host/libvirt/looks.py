"""What libvirt and its XML say of one domain: power state, owner tag, devices."""

import contextlib
from typing import Any
from xml.etree import ElementTree

import libvirt

from infra.contracts.errors import hopeless
from infra.contracts.limits import Limits
from infra.contracts.power_states import CRASHED, NOSTATE, PAUSED, RUNNING, SHUTDOWN, SUSPENDED
from infra.host.libvirt.faults import is_missing
from infra.host.libvirt.machine_xml import METADATA, limits_in

STATES = {0: "pending", 1: "running", 3: "paused", 4: "shutdown", 6: "crashed", 7: "suspended"}
"""Nova's words for its power states."""
POWER = {
    libvirt.VIR_DOMAIN_NOSTATE: NOSTATE,
    libvirt.VIR_DOMAIN_RUNNING: RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: RUNNING,  # on its way down, not there yet
    libvirt.VIR_DOMAIN_SHUTOFF: SHUTDOWN,
    libvirt.VIR_DOMAIN_CRASHED: CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: SUSPENDED,
}


def devices(xml: str) -> set[str]:
    """Target devices of a domain's disks."""
    targets = ElementTree.fromstring(xml).iterfind("./devices/disk/target")  # noqa: S314 - libvirt wrote it
    return {target.get("dev", "") for target in targets}


def disk_as(device: str, xml: str) -> ElementTree.Element | None:
    """The domain's disk of this name."""
    disks = ElementTree.fromstring(xml).iterfind("./devices/disk")  # noqa: S314 - libvirt wrote it
    return next((disk for disk in disks if any(to.get("dev") == device for to in disk.iterfind("target"))), None)


def has_this(disk: str, device: str, xml: str) -> bool:
    """Whether the domain has the disk. Hopeless when it has another of its name, which it was to give back and kept."""
    if (there := disk_as(device, xml)) is None:
        return False
    if there.findtext("serial") != ElementTree.fromstring(disk).findtext("serial"):  # noqa: S314 - we wrote it
        raise hopeless(f"The guest still has another disk as /dev/{device}.", code=409)
    return True


def has_acpi(domain: Any) -> bool:
    return ElementTree.fromstring(domain.XMLDesc(0)).find("./features/acpi") is not None  # noqa: S314 - libvirt's


def nics(xml: str) -> dict[str, str]:
    """MAC address → XML of a running domain's interfaces."""
    if not xml:
        return {}
    found = ElementTree.fromstring(xml).findall("./devices/interface")  # noqa: S314 - libvirt wrote it
    named = [(each.find("mac"), each) for each in found]
    return {mac.get("address", ""): ElementTree.tostring(each, "unicode") for mac, each in named if mac is not None}


def living(connection: Any, instance_id: str) -> Any:
    domain = find(connection, instance_id)
    if domain is None:
        raise LookupError(f"domain {instance_id} is gone")
    return domain


def find(connection: Any, instance_id: str) -> Any:
    try:
        return connection.lookupByUUIDString(instance_id)
    except libvirt.libvirtError as error:
        if is_missing(error):
            return None
        raise


def power_of(domain: Any) -> int | None:
    if domain is None:
        return None
    with tolerating(is_missing):
        return POWER.get(domain.state()[0], NOSTATE)
    return None


def marks_of(domain: Any) -> tuple[str, int] | None:
    """(host, attempt) from our metadata; None for a domain that is not ours."""
    if (ours := _metadata(domain)) is None:
        return None
    found = {child.tag.rpartition("}")[2]: child.text or "" for child in ours}
    return found.get("host", ""), int(found.get("attempt") or 0)


def limits_of(domain: Any) -> Limits:
    """From our metadata."""
    ours = _metadata(domain)
    return limits_in(ours) if ours is not None else Limits()


def _metadata(domain: Any) -> Any:
    if domain is None:
        return None
    try:
        text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, METADATA)
    except libvirt.libvirtError as error:
        if is_missing(error) or error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return None
        raise
    return ElementTree.fromstring(text)  # noqa: S314 - libvirt wrote it


@contextlib.contextmanager
def tolerating(*kinds: Any) -> Any:
    try:
        yield
    except libvirt.libvirtError as error:
        if not any(kind(error) for kind in kinds):
            raise
