"""What of a domain follows from its machine and its flavor: written when it is made and when its flavor changes.

Source: libvirt.org/formatdomain.html."""

import json
from xml.etree.ElementTree import Element, SubElement, fromstring

from infra.contracts.errors import hopeless
from infra.contracts.hypervisor import FlavorFacts
from infra.contracts.limits import Limits
from infra.contracts.machine import Machine, Refused, machine_of

METADATA = "urn:kilonova:instance:1"
"""Namespace of the metadata by which our domains are told from others."""
OURS = f"./metadata/{{{METADATA}}}instance/{{{METADATA}}}"
LIMITS = f"{{{METADATA}}}limits"
ROOT = "vda"


def properties_in(domain: Element) -> dict[str, str]:
    """The image's properties, as our metadata keep them."""
    kept: dict[str, str] = json.loads(domain.findtext(OURS + "properties") or "{}")
    return kept


def machine_for(properties: dict[str, str], flavor: FlavorFacts) -> Machine:
    """Hopeless (400) for what the API refuses nowadays: an older server's image or flavor may ask it."""
    try:
        return machine_of(properties, flavor.extra_specs, flavor.vcpus)
    except Refused as refused:
        raise hopeless(str(refused), code=400) from None


def shape(domain: Element, machine: Machine) -> None:
    """Topology of the vCPUs, boot menu, limits, random numbers, watchdog. May be repeated."""
    _topology(domain, machine)
    _keep_limits(domain, machine.limits)
    devices, system = domain.find("devices"), domain.find("os")
    assert devices is not None and system is not None
    _replace(system, "bootmenu", enable="yes" if machine.boot_menu else "no")
    _limits(devices, machine)
    _random(devices, machine)
    watchdog = _replace(devices, "watchdog", model="i6300esb", action=machine.watchdog)
    if not machine.watchdog:
        devices.remove(watchdog)


def limits_in(metadata: Element) -> Limits:
    """Of our metadata's own element; libvirt's answer about metadata alone leaves out its namespace."""
    told = next((child.text for child in metadata if child.tag.rpartition("}")[2] == "limits"), "")
    return Limits.model_validate_json(told or "{}")


def kept_limits(domain: str) -> Limits:
    """Of a domain's definition."""
    metadata = fromstring(domain).find(f"./metadata/{{{METADATA}}}instance")  # noqa: S314 - libvirt wrote it
    return limits_in(metadata) if metadata is not None else Limits()


def _keep_limits(domain: Element, limits: Limits) -> None:
    """The host puts them in force when the guest starts: libvirt here has no control groups, and the kernel need not
    have the classifiers that libvirt's own limits of interfaces are made of."""
    metadata = domain.find(f"./metadata/{{{METADATA}}}instance")
    if metadata is None:
        return
    for old in metadata.findall(LIMITS):
        metadata.remove(old)
    if limits != Limits():
        SubElement(metadata, LIMITS).text = limits.model_dump_json(exclude_none=True)


def _topology(domain: Element, machine: Machine) -> None:
    cpu = domain.find("cpu")
    if cpu is None and machine.topology:
        cpu = SubElement(domain, "cpu")
    if cpu is not None:
        for old in cpu.findall("topology"):
            cpu.remove(old)
        if machine.topology:
            parts = {name: str(count) for name, count in machine.topology._asdict().items()}
            cpu.insert(0, Element("topology", parts))


def _limits(devices: Element, machine: Machine) -> None:
    """Of the disks on the host: volumes are not in a definition."""
    for disk in devices.findall("disk"):
        if disk.get("type") != "file" or disk.get("device") != "disk":
            continue
        for old in disk.findall("iotune"):
            disk.remove(old)
        if machine.iotune:
            tune = SubElement(disk, "iotune")
            for name, limit in machine.iotune.items():
                SubElement(tune, name).text = str(limit)


def _random(devices: Element, machine: Machine) -> None:
    rng = _replace(devices, "rng", model="virtio")
    if not machine.rng:
        devices.remove(rng)
        return
    if machine.rng_rate:
        SubElement(rng, "rate", bytes=str(machine.rng_rate[0]), period=str(machine.rng_rate[1]))
    SubElement(rng, "backend", model="random").text = "/dev/urandom"


def _replace(parent: Element, tag: str, **attributes: str) -> Element:
    """A fresh element in place of those of this name, at the same place on the bus: the guest sees the same device."""
    fresh = Element(tag, attributes)
    for old in parent.findall(tag):
        parent.remove(old)
        fresh.extend(old.findall("address"))
    parent.append(fresh)
    return fresh
