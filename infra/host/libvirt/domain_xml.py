"""A server as libvirt's domain XML. Source: libvirt.org/formatdomain.html."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

from infra.contracts.hypervisor import DomainSpec
from infra.contracts.local_disks import LETTERS, letters_of
from infra.contracts.machine import Machine
from infra.contracts.network import Vif
from infra.contracts.properties import is_true
from infra.contracts.volume import VolumeConnection
from infra.host.files.firmware import CODE
from infra.host.files.paths import domain_name
from infra.host.libvirt.labels import add_label
from infra.host.libvirt.local_disk_xml import local_disk
from infra.host.libvirt.machine_xml import METADATA, ROOT, machine_for, properties_in, shape

LAST = "99"
CHANNEL = "org.qemu.guest_agent.0"
CDROM = {"ide": "hd", "sata": "sd", "scsi": "sd"}
PORTS = 20
"""Devices that a q35 may get while it runs; its bus has no free slots of its own."""
RECONNECT_S = 60  # how long a guest's I/O waits for a volume server before the guest is paused


@dataclass(frozen=True)
class Place:
    """What the host adds to a server: kind of virtualization, files, where its screen is."""

    host: str
    virt_type: str  # kvm, qemu or test
    disk: Path
    nvram: Path
    config_drive: Path | None
    console_log: Path
    vnc_listen: str  # "socket", or an address of this host
    vnc_socket: Path
    serial_socket: Path
    uid: int | None = None  # user of this guest alone; None: that of all guests of this host


def domain_xml(spec: DomainSpec, place: Place) -> str:
    """The whole domain but for its volumes, which are attached before the guest runs: the name of a volume's export
    is a secret, and QEMU's command line can be read by anybody on the host."""
    machine = machine_for(spec.image_properties, spec.flavor)
    domain = Element("domain", type=place.virt_type)
    _text(domain, "name", domain_name(spec.instance_id))
    _text(domain, "uuid", spec.instance_id)
    _metadata(domain, spec, place)
    _text(domain, "memory", str(spec.flavor.ram), unit="MiB")
    _text(domain, "vcpu", str(spec.flavor.vcpus))
    _machine(domain, spec, place, machine)
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        _text(domain, f"on_{event}", action)
    if place.uid is not None:
        add_label(domain, place.uid)
    devices = SubElement(domain, "devices")
    if place.virt_type != "test":
        _disks(devices, spec, place, machine)
        _consoles(devices, place, machine)
        shape(domain, machine)
    if is_true(spec.image_properties, "hw_qemu_guest_agent"):
        channel = SubElement(devices, "channel", type="unix")
        SubElement(channel, "target", type="virtio", name=CHANNEL)
    for vif in spec.vifs:
        _interface(devices, vif, place.virt_type, machine.vif_model)
    return tostring(domain, encoding="unicode")


def volume_xml(volume: VolumeConnection) -> str:
    """An attached volume as a disk. While its server is away the guest waits, within QEMU where libvirt can ask for
    that (10.1), else paused until the driver resumes it; it never sees an I/O error."""
    disk = Element("disk", type="network", device="disk")
    patient = {"error_policy": "stop", "rerror_policy": "stop"}
    SubElement(disk, "driver", {"name": "qemu", "type": "raw", "cache": "none", "discard": "unmap"} | patient)
    source = SubElement(disk, "source", protocol="nbd", name=volume.export)
    if volume.socket:
        SubElement(source, "host", transport="unix", socket=volume.socket)
    else:
        source.set("tls", "yes" if volume.tls else "no")
        SubElement(source, "host", name=volume.host, port=str(volume.port))
    SubElement(source, "reconnect", delay=str(RECONNECT_S))
    SubElement(disk, "target", dev=volume.device, bus=volume.bus or "virtio")
    _text(disk, "serial", volume.volume_id)
    if volume.boot_index is not None and volume.boot_index >= 0:
        SubElement(disk, "boot", order=str(volume.boot_index + 1))
    return tostring(disk, encoding="unicode")


def interface_xml(vif: Vif, virt_type: str, domain: str | None = None) -> str:
    """One more interface for `domain`, to be attached while it runs: of the model that its image asks for."""
    properties = properties_in(fromstring(domain)) if domain else {}  # noqa: S314 - libvirt wrote it
    model = properties.get("hw_vif_model", "virtio")
    return tostring(_interface(Element("devices"), vif, virt_type, model), encoding="unicode")


def servers(disks: Iterable[str]) -> set[tuple[str, int]]:
    """(host, port) of the servers behind `volume_xml`s; of a UNIX socket its path and 0."""
    hosts = [fromstring(xml).find("./source/host") for xml in disks]  # noqa: S314 - we wrote it
    return {(h.get("socket") or h.get("name") or "", int(h.get("port", "0"))) for h in hosts if h is not None}


def sockets(disks: Iterable[str]) -> set[str]:
    """Paths of the UNIX sockets behind `volume_xml`s."""
    return {place for place, port in servers(disks) if not port}


def _metadata(domain: Element, spec: DomainSpec, place: Place) -> None:
    metadata = SubElement(domain, "metadata")
    instance = SubElement(metadata, f"{{{METADATA}}}instance")
    facts = {
        "host": place.host,
        "name": spec.name,
        "flavor": spec.flavor.name,
        "project": spec.project_id,
        "user": spec.user_id,
        "image": spec.image_id,
        "attempt": str(spec.attempt),
        "properties": json.dumps(spec.image_properties),
    }
    for key, value in facts.items():
        _text(instance, f"{{{METADATA}}}{key}", _printable(value))


def _machine(domain: Element, spec: DomainSpec, place: Place, machine: Machine) -> None:
    system = SubElement(domain, "os")
    if place.virt_type == "test":
        _text(system, "type", "hvm")
        return
    _text(system, "type", "hvm", arch="x86_64", machine=machine.machine_type)
    if machine.uefi:
        _text(system, "loader", str(CODE), readonly="yes", type="pflash")
        _text(system, "nvram", str(place.nvram))
    SubElement(system, "smbios", mode="sysinfo")
    sysinfo = SubElement(SubElement(domain, "sysinfo", type="smbios"), "system")
    about = {"manufacturer": "OpenStack Foundation", "product": "OpenStack Nova", "serial": spec.instance_id}
    for key, value in {**about, "uuid": spec.instance_id, "family": "Virtual Machine"}.items():
        _text(sysinfo, "entry", value, name=key)
    features = SubElement(domain, "features")
    SubElement(features, "acpi")
    SubElement(features, "apic")
    if place.virt_type == "kvm":
        SubElement(domain, "cpu", mode="host-model")
        if machine.windows:
            _hyperv(features)
    else:
        _text(SubElement(features, "tcg"), "tb-cache", "32", unit="MiB")
    clock = SubElement(domain, "clock", offset="localtime" if machine.windows else "utc")
    SubElement(clock, "timer", name="rtc", tickpolicy="catchup")
    SubElement(clock, "timer", name="hpet", present="no")


def _hyperv(features: Element) -> None:
    """What Windows asks its host for."""
    hyperv = SubElement(features, "hyperv")
    for name in ("relaxed", "vapic"):
        SubElement(hyperv, name, state="on")
    SubElement(hyperv, "spinlocks", state="on", retries="8191")


def _disks(devices: Element, spec: DomainSpec, place: Place, machine: Machine) -> None:
    if spec.disk:
        disk = SubElement(devices, "disk", type="file", device="disk")
        SubElement(disk, "driver", name="qemu", type="qcow2", cache="writeback", discard="unmap")
        SubElement(disk, "source", file=str(place.disk))
        SubElement(disk, "target", dev=ROOT, bus=machine.disk_bus)
        SubElement(disk, "boot", order="1")
    for local in spec.local_disks:
        file = place.disk.with_name(local.file)
        devices.append(local_disk(local, file, machine.disk_bus, after_volumes=spec.disk is None))
    if place.config_drive:
        drive = SubElement(devices, "disk", type="file", device="cdrom")
        SubElement(drive, "driver", name="qemu", type="raw")
        SubElement(drive, "source", file=str(place.config_drive))
        _place_drive(drive, devices, spec, machine)
        SubElement(drive, "readonly")
        SubElement(drive, "boot", order=LAST)  # without any order libvirt adds one that forbids those of the volumes
    if "scsi" in (
        machine.disk_bus,
        machine.cdrom_bus,
        *(d.bus for d in spec.local_disks),
        *(v.bus for v in spec.volumes),
    ):
        SubElement(devices, "controller", type="scsi", index="0", model=machine.scsi_model)
    usb = "qemu-xhci" if machine.q35 else "piix3-uhci"
    SubElement(devices, "controller", type="usb", model=usb if machine.tablet_bus == "usb" else "none")
    for number in range(1, PORTS + 1 if machine.q35 else 1):
        SubElement(devices, "controller", type="pci", index=str(number), model="pcie-root-port")


def _place_drive(drive: Element, devices: Element, spec: DomainSpec, machine: Machine) -> None:
    """A name, and a place on the bus, that neither a disk has nor a volume that comes later."""
    bus = machine.cdrom_bus
    if bus == "scsi" and machine.scsi_model == "virtio-scsi":
        SubElement(drive, "target", dev="sdaa", bus=bus)
        SubElement(drive, "address", type="drive", controller="0", bus="0", target="0", unit="31")
        return
    targets = [(target.get("dev", ""), target.get("bus")) for target in devices.iterfind("disk/target[@bus]")]
    targets += [(volume.device, volume.bus) for volume in spec.volumes]
    there = letters_of(dev for dev, on in targets if on == bus or dev[:2] == CDROM[bus])
    letters = LETTERS[:7][::-1] if bus == "scsi" else LETTERS  # that controller has seven
    SubElement(drive, "target", dev=CDROM[bus] + next(each for each in letters if each not in there), bus=bus)


def _interface(devices: Element, vif: Vif, virt_type: str, model: str) -> Element:
    interface = SubElement(devices, "interface", type="bridge")
    SubElement(interface, "mac", address=vif.mac_address)
    SubElement(interface, "source", bridge=vif.bridge or "none")
    SubElement(interface, "target", dev=vif.tap)
    SubElement(interface, "model", type=model)
    if virt_type != "test":
        if model == "virtio":
            SubElement(interface, "driver", name="qemu")
        SubElement(interface, "mtu", size=str(vif.mtu))
        SubElement(interface, "rom", enabled="no")
    return interface


def _consoles(devices: Element, place: Place, machine: Machine) -> None:
    by_socket = place.vnc_listen == "socket"
    serial = SubElement(devices, "serial", type="unix" if by_socket else "pty")
    if by_socket:
        SubElement(serial, "source", mode="bind", path=str(place.serial_socket))
    SubElement(serial, "log", file=str(place.console_log), append="on")
    SubElement(serial, "target", port="0")
    SubElement(devices, "input", type="keyboard", bus="ps2")
    if by_socket:
        SubElement(devices, "graphics", type="vnc", socket=str(place.vnc_socket))
    else:
        SubElement(devices, "graphics", type="vnc", port="-1", autoport="yes", listen=place.vnc_listen)
    if machine.tablet_bus:
        SubElement(devices, "input", type="tablet", bus=machine.tablet_bus)
    memory = {} if machine.video_model in ("none", "virtio") else {"vram": str(machine.video_mb << 10), "heads": "1"}
    SubElement(SubElement(devices, "video"), "model", {"type": machine.video_model, **memory})
    SubElement(SubElement(devices, "memballoon", model="virtio"), "stats", period="10")


def _text(parent: Element, tag: str, text: str, **attributes: str) -> Element:
    element = SubElement(parent, tag, attributes)
    element.text = text
    return element


def _printable(text: str) -> str:
    """`text` without the control characters that XML cannot carry."""
    return text if text.isprintable() else "".join(character for character in text if character.isprintable())
