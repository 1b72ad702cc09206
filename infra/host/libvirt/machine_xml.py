"""What of a domain follows from its machine and its flavor: written when it is made and when its flavor changes.

Source: libvirt.org/formatdomain.html."""

import json
from xml.etree.ElementTree import Element, SubElement

from infra.contracts.errors import hopeless
from infra.contracts.hypervisor import FlavorFacts
from infra.contracts.machine import Machine, Refused, machine_of

METADATA = "urn:kilonova:instance:1"
"""Namespace of the metadata by which our domains are told from others."""
OURS = f"./metadata/{{{METADATA}}}instance/{{{METADATA}}}"
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
    """Topology of the vCPUs, boot menu, limits of the root disk, random numbers, watchdog. May be repeated."""
    _topology(domain, machine)
    devices, system = domain.find("devices"), domain.find("os")
    assert devices is not None and system is not None
    _replace(system, "bootmenu", enable="yes" if machine.boot_menu else "no")
    _limits(devices, machine)
    _random(devices, machine)
    watchdog = _replace(devices, "watchdog", model="i6300esb", action=machine.watchdog)
    if not machine.watchdog:
        devices.remove(watchdog)


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
    for disk in devices.findall("disk"):
        target = disk.find("target")
        if target is None or target.get("dev") != ROOT or disk.get("device") != "disk":
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
