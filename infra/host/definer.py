"""What a guest is made of on this host: config drive, console log, volumes to connect, its definition in libvirt."""

import time

from infra.contracts.hypervisor import DomainSpec
from infra.host.files import configdrive, firmware
from infra.host.files.guest import GuestFiles
from infra.host.files.local_disks import LocalDisks
from infra.host.files.paths import HostPaths
from infra.host.files.room import room_on_disk
from infra.host.libvirt.definitions import Definitions, Written
from infra.host.libvirt.domain_xml import Place, domain_xml, volume_xml
from infra.host.libvirt.machine_xml import machine_for
from infra.host.libvirt.virt_type import VirtType
from infra.settings import Settings


class Clock:
    """Seconds spent in each part of a step."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, part: str) -> None:
        now = time.monotonic()
        self.parts[part] = round(now - self._last, 3)
        self._last = now


class Definer:
    """Each method may be repeated; the caller has the guest's turn, and its claim."""

    def __init__(self, settings: Settings, files: GuestFiles, definitions: Definitions, virt: VirtType) -> None:
        self._host, self._vnc_listen, self._virt = settings.host, settings.vnc_listen, virt
        self._paths, self._files, self._definitions = HostPaths(settings), files, definitions
        self._local = LocalDisks(self._paths)
        self._pretend, self._vendor_data = virt.virt_type == "test", settings.vendor_data_file

    def define(self, spec: DomainSpec, clock: Clock) -> Written:
        """All of it anew."""
        if not self._pretend:
            self._write_files(spec, keep_drive=False)
            clock.lap("config_drive")
        return self._write(spec, clock)

    def define_again(self, spec: DomainSpec) -> None:
        """Of a guest that is off, from its records. Its config drive is written anew where it is lost, or
        tells of other interfaces than the guest has by now; memory that was saved belongs to the guest that was."""
        if not self._pretend:
            self._write_files(spec, keep_drive=True)
        self._definitions.forget_memory(spec.instance_id)
        self._write(spec, Clock())

    def write_drive(self, spec: DomainSpec) -> None:
        """Of a guest that is off, as `spec` has it, which comes without the password: that is on the drive alone."""
        drive = self._paths.config_drive(spec.instance_id)
        guest = spec.guest.model_copy(update={"admin_pass": configdrive.password_on(drive)})
        with room_on_disk(drive.with_name("config.iso.part")):
            configdrive.write(spec.model_copy(update={"guest": guest}), drive, self._vendor_data)
            self._paths.owner_of(spec.instance_id).writes(drive)
        self._files.note_drive(spec.instance_id, outdated=False)

    def _write_files(self, spec: DomainSpec, *, keep_drive: bool) -> None:
        id = spec.instance_id
        self._paths.make_instance(id)
        self._paths.make_socket_place(id)
        drive = self._paths.config_drive(id)
        with room_on_disk(drive.with_name("config.iso.part")):
            if not (keep_drive and configdrive.tells_of(drive, spec)):
                configdrive.write(spec, drive, self._vendor_data)
                self._paths.owner_of(id).writes(drive)
            if machine_for(spec.image_properties, spec.flavor).uefi:
                firmware.ensure(self._paths, id)
            self._files.note_drive(id, outdated=False)
            self._local.ensure(id, spec.local_disks)
            self._files.make_log(id)
            self._files.keep_volumes(id, {volume.device: volume_xml(volume) for volume in spec.volumes})

    def _write(self, spec: DomainSpec, clock: Clock) -> Written:
        xml = domain_xml(spec, self._place(spec.instance_id))
        made = self._definitions.write(xml)
        if self._pretend:
            self._files.keep_domain(spec.instance_id, xml, running=False)
        clock.lap("define")
        return made

    def _place(self, instance_id: str) -> Place:
        seen, owner = self._paths.as_guest, self._paths.owner_of(instance_id)
        return Place(
            host=self._host,
            virt_type=self._virt.virt_type,
            disk=seen(self._paths.disk(instance_id)),
            nvram=seen(self._paths.nvram(instance_id)),
            config_drive=None if self._pretend else seen(self._paths.config_drive(instance_id)),
            console_log=seen(self._paths.console_log(instance_id)),
            vnc_listen=self._vnc_listen,
            vnc_socket=seen(self._paths.vnc_socket(instance_id)),
            serial_socket=seen(self._paths.serial_socket(instance_id)),
            uid=owner.uid if owner.readers else None,
        )
