"""Names and places of everything that one instance has on its host; all follow from its id."""

import contextlib
import hashlib
import re
import shutil
from pathlib import Path

from infra.contracts.errors import hopeless
from infra.host.files.owner import Owner
from infra.host.files.uids import GuestUids
from infra.settings import Settings

IDENTIFIER = re.compile(r"[0-9a-zA-Z][0-9a-zA-Z-]{0,63}")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SOCKET_PATH_LIMIT = 107  # sun_path has 108 bytes, the last one zero
SHORT_ROOT = Path("/run/kilonova")


def checked(identifier: str) -> str:
    """`identifier` if it can be a file's name; it came from outside."""
    if not IDENTIFIER.fullmatch(identifier):
        raise hopeless("Not an identifier.", code=400)
    return identifier


def domain_name(instance_id: str) -> str:
    """Name of the instance's domain, as `OS-EXT-SRV-ATTR:instance_name` shows it."""
    return f"instance-{instance_id[:8]}"


def is_test_driver(settings: Settings) -> bool:
    """libvirt's own pretended hypervisor: no guest, hence no disk and no sockets."""
    return settings.virt_type == "test" or settings.libvirt_uri.startswith("test")


def remove_tree(directory: Path) -> None:
    """Absent is success, and so is another that removes the same."""
    while directory.exists():
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(directory)


class HostPaths:
    """STATE/hosts/<host>: `images` is the cache, `instances/<id>` holds disk, config drive, console log, and in `run`
    what QEMU makes itself, its VNC socket."""

    def __init__(self, settings: Settings) -> None:
        self.root = settings.host_dir.absolute()
        self._view = Path(settings.guest_view) if settings.guest_view else self.root
        self.images = self.root / "images"
        self.instances = self.root / "instances"
        self._uids = GuestUids(settings, self.instances)
        self.all_guests = self._uids.shared
        self.virt_type = self.root / "virt_type.json"

    def instance(self, instance_id: str) -> Path:
        return self.instances / checked(instance_id)

    def as_guest(self, path: Path) -> Path:
        """`path` as libvirt and QEMU see it."""
        try:
            return self._view / path.relative_to(self.root)
        except ValueError:
            return path

    def make_instance(self, instance_id: str) -> Path:
        directory = self.instance(instance_id)
        self._uids.make_directory(instance_id)
        return directory

    def owner_of(self, instance_id: str) -> Owner:
        """Who the guest's QEMU runs as, and whose its files are: since its directory was made, until it is gone."""
        return self._uids.of(checked(instance_id))

    def disk(self, instance_id: str) -> Path:
        return self.instance(instance_id) / "disk"

    def copy(self, instance_id: str, image_id: str, form: str) -> Path:
        """What becomes the image, or comes from it; `form` is the name's end."""
        return self.instance(instance_id) / f"snapshot-{checked(image_id)}.{form}"

    def rescue_disk(self, instance_id: str) -> Path:
        """Lies beside the server's own disk while it is rescued."""
        return self.instance(instance_id) / "rescue-disk"

    def image_of(self, instance_id: str) -> Path:
        """File that names the cached image under the instance's overlay."""
        return self.instance(instance_id) / "image"

    def image_of_rescue(self, instance_id: str) -> Path:
        """The same of its rescue disk; not the name under which `image_of` is kept."""
        return self.instance(instance_id) / "image.rescue-disk"

    def nvram(self, instance_id: str) -> Path:
        """What the guest's UEFI remembers."""
        return self.instance(instance_id) / "nvram.fd"

    def config_drive(self, instance_id: str) -> Path:
        return self.instance(instance_id) / "config.iso"

    def console_log(self, instance_id: str) -> Path:
        return self.instance(instance_id) / "console.log"

    def profile(self, instance_id: str) -> Path:
        """Of the guest, where `up`'s own libvirtd uses AppArmor: libvirt leaves it when the guest ends."""
        return self.root / "libvirt" / "apparmor" / f"libvirt-{checked(instance_id)}"

    def vnc_socket(self, instance_id: str) -> Path:
        """Beside the disk, or below /run where the state directory's path is too long for a socket."""
        return self._socket(instance_id, "vnc")

    def serial_socket(self, instance_id: str) -> Path:
        """As `vnc_socket`: what the guest's first serial port is connected to."""
        return self._socket(instance_id, "serial")

    def _socket(self, instance_id: str, name: str) -> Path:
        directory = self.instance(instance_id) / "run"
        if len(str(directory / "serial").encode()) <= SOCKET_PATH_LIMIT:
            return directory / name
        if self.owner_of(instance_id) != self.all_guests:
            return self._short_of(instance_id) / name
        return self._short() / f"{checked(instance_id)}.{name}"

    def forget_sockets(self, instance_id: str = "") -> None:
        """Remove the sockets that lie below /run, when the host's guests are gone, or this one is."""
        for place in (self._short_of(instance_id),) if instance_id else (self._short(), self._short_of("x").parent):
            shutil.rmtree(place, ignore_errors=True)

    def _short(self) -> Path:
        return SHORT_ROOT / hashlib.sha256(str(self.root).encode()).hexdigest()[:10]

    def _short_of(self, instance_id: str) -> Path:
        """Of a guest with a user of its own, who comes into no other's."""
        short = self._short()
        return short.with_name(f"{short.name}.guests") / checked(instance_id)

    def make_socket_place(self, instance_id: str) -> Path:
        socket, owner = self.vnc_socket(instance_id), self.owner_of(instance_id)
        if socket.is_relative_to(SHORT_ROOT):
            SHORT_ROOT.mkdir(exist_ok=True, mode=0o711)
        if owner != self.all_guests and socket.is_relative_to(SHORT_ROOT):
            self.all_guests.directory(socket.parent.parent)
        owner.own_directory(socket.parent)
        return socket

    def known_instances(self) -> set[str]:
        """Ids of the instances that have any file here; what is not named by an id is not ours."""
        found: set[str] = set()
        with contextlib.suppress(FileNotFoundError):
            found |= {entry.name for entry in self.instances.iterdir()}
        with contextlib.suppress(FileNotFoundError):
            found |= {entry.stem for entry in self._short().glob("*.vnc")}
            found |= {entry.stem for entry in self._short().glob("*.serial")}
        with contextlib.suppress(FileNotFoundError):
            found |= {entry.name for entry in self._short_of("x").parent.iterdir()}
        return {name for name in found if UUID.fullmatch(name)}
