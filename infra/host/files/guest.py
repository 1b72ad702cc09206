"""The files that a guest has beside its disk: config drive, console log, screen, what it needs to be started again."""

import contextlib
import json
from pathlib import Path
from typing import Any

from infra.contracts.left import REVERTED
from infra.credentials import write_private
from infra.host.files.left import LeftFiles
from infra.host.files.local_disks import LocalDisks
from infra.host.files.paths import HostPaths, remove_tree
from infra.host.files.room import has_room, require_room
from infra.host.libvirt import console
from infra.host.libvirt.domain_xml import sockets
from infra.volume_doors import let_in

ON, OFF, NEW = "domain.xml", "domain-off.xml", "domain.xml.new"
"""Of the test driver's guests: the definition of one that runs, of one that is off, and one that is being written."""

KEPT_VOLUMES = "volumes.json.rescue"


class GuestFiles:
    """Absent is fine everywhere."""

    def __init__(self, paths: HostPaths) -> None:
        self._paths = paths

    def require_room(self) -> None:
        """HostCannot where a guest that is ended now could not be started again."""
        require_room(self._paths.instances)

    def have_room(self) -> bool:
        return has_room(self._paths.instances)

    def make_log(self, instance_id: str) -> None:
        """The console log exists before QEMU appends to it, in a directory where QEMU may make nothing."""
        file = self._paths.console_log(instance_id)
        file.touch(mode=0o600)
        self._paths.owner_of(instance_id).writes(file)

    def keep_volumes(self, instance_id: str, disks: dict[str, str]) -> None:
        """Remember device → disk XML, which holds secrets: libvirt itself is never given them to keep."""
        file = self._paths.instance(instance_id) / "volumes.json"
        if disks:
            write_private(file, json.dumps(disks))
            self.let_in(instance_id, disks)
        else:
            file.unlink(missing_ok=True)

    def forget_volume(self, instance_id: str, device: str) -> None:
        """Neither the guest nor what it is again after its rescue has it any more."""
        self.keep_volumes(instance_id, {name: xml for name, xml in self.volumes(instance_id).items() if name != device})
        if (kept := self._paths.instance(instance_id) / KEPT_VOLUMES).exists():
            before = json.loads(kept.read_text())
            write_private(kept, json.dumps({name: xml for name, xml in before.items() if name != device}))

    def is_rescued(self, instance_id: str) -> bool:
        return (self._paths.instance(instance_id) / "rescue.kept").exists()

    def let_in(self, instance_id: str, disks: dict[str, str]) -> None:
        """The guest's user, and no other guest's, comes to the sockets of its volumes. Each start asks for it again:
        what lies below /run is gone when the machine starts anew."""
        group = self._paths.owner_of(instance_id).uid
        for path in sockets(disks.values()):
            let_in(path, group)

    def frozen(self, instance_id: str) -> Path:
        """There while the guest's file systems may be frozen."""
        return self._paths.instance(instance_id) / "frozen"

    def all_frozen(self) -> list[str]:
        """Ids of the servers that are marked so."""
        return [mark.parent.name for mark in self._paths.instances.glob("*/frozen")]

    def volumes(self, instance_id: str) -> dict[str, str]:
        file = self._paths.instance(instance_id) / "volumes.json"
        known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        return known

    def keep_domain(self, instance_id: str, xml: str, *, running: bool) -> None:
        """Of a domain of the test driver, which forgets everything with its daemon. `running`: it is to run again."""
        self._paths.make_instance(instance_id)
        on, off = self._definitions(instance_id)
        kept, other = (on, off) if running else (off, on)
        new = kept.with_name(NEW)
        new.write_text(xml)
        new.replace(kept)
        other.unlink(missing_ok=True)

    def forget_domain(self, instance_id: str) -> None:
        for file in self._definitions(instance_id):
            file.unlink(missing_ok=True)

    def leave_if_empty(self, instance_id: str) -> None:
        """The directory of one that was undone before goes again."""
        with contextlib.suppress(OSError):
            self._paths.instance(instance_id).rmdir()

    def _definitions(self, instance_id: str) -> tuple[Path, Path]:
        """Of a domain that is to run again, and of one that is off."""
        place = self._paths.instance(instance_id)
        return place / ON, place / OFF

    def keep_running(self, instance_id: str, running: bool) -> None:
        """The test driver's domain is to run again with its daemon, or not."""
        on, off = self._definitions(instance_id)
        with contextlib.suppress(FileNotFoundError):
            off.rename(on) if running else on.rename(off)

    def note_paused(self, instance_id: str, *, paused: bool) -> None:
        """Whether the guest's owner has paused it. QEMU's own pauses, which end by themselves, are not told from that
        by libvirt once both have happened."""
        if paused:
            self._paths.make_instance(instance_id)
            self._paused(instance_id).touch()
        else:
            self._paused(instance_id).unlink(missing_ok=True)

    def is_paused(self, instance_id: str) -> bool:
        return self._paused(instance_id).exists()

    def _paused(self, instance_id: str) -> Path:
        return self._paths.instance(instance_id) / "paused"

    def kept_domains(self) -> dict[str, tuple[str, bool]]:
        """Of the test driver: instance id -> its XML, and whether it should run."""
        found = {}
        for name, running in ((OFF, False), (ON, True)):
            for file in self._paths.instances.glob(f"*/{name}"):
                with contextlib.suppress(FileNotFoundError):
                    found[file.parent.name] = (file.read_text(), running)
        return found

    def note_drive(self, instance_id: str, *, outdated: bool) -> None:
        """Whether the guest's interfaces have changed since its config drive was written."""
        mark = self._paths.instance(instance_id) / "config.outdated"
        if outdated:
            mark.touch()
        else:
            mark.unlink(missing_ok=True)

    def drive_is_outdated(self, instance_id: str) -> bool:
        return (self._paths.instance(instance_id) / "config.outdated").exists()

    def last_reboot(self, instance_id: str) -> str:
        """Request id of the reboot that ended the guest last; "" for none."""
        file = self._paths.instance(instance_id) / "rebooted"
        return file.read_text() if file.exists() else ""

    def note_reboot(self, instance_id: str, request_id: str) -> None:
        write_private(self._paths.make_instance(instance_id) / "rebooted", request_id)

    def remove_guest(self, instance_id: str) -> None:
        """All but the root disk; the directory too if nothing else is in it."""
        LocalDisks(self._paths).remove(instance_id)
        directory = self._paths.instance(instance_id)
        for socket in (self._paths.vnc_socket(instance_id), self._paths.serial_socket(instance_id)):
            socket.unlink(missing_ok=True)
        self._paths.forget_sockets(instance_id)
        self._paths.profile(instance_id).unlink(missing_ok=True)
        remove_tree(directory / "run")
        for name in (
            "config.iso",
            "config.iso.part",
            "config.outdated",
            "nvram.fd",
            "nvram.fd.part",
            "console.log",
            "volumes.json",
            ON,
            OFF,
            NEW,
            "rebooted",
            "frozen",
            "paused",
            REVERTED,
        ):
            (directory / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            directory.rmdir()

    def remove_all(self, instance_id: str) -> None:
        self.remove_guest(instance_id)
        remove_tree(self._paths.instance(instance_id))

    def facts(self) -> dict[str, Any]:
        """Fields of HostFacts about files."""
        return {"instance_dirs": sorted(self._paths.known_instances()), "left": LeftFiles(self._paths).all()}

    def trim_logs(self) -> None:
        """Cut console logs that have grown too long."""
        for file in self._paths.instances.glob("*/console.log"):
            console.trim(file)
