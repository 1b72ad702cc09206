"""A compute host as `up` makes it, without a control plane: libvirtd, agent's driver, storage daemon, gate."""

import subprocess
import uuid
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from keystoneauth1.session import Session
from keystoneauth1.token_endpoint import Token

from infra.contracts.hypervisor import DomainSpec, FlavorFacts, GuestConfig
from infra.contracts.image import ImageOnHost
from infra.contracts.network import Vif
from infra.contracts.volume import VolumeConnection
from infra.host.driver import Driver
from infra.host.files.images import ImageStore
from infra.host.libvirt.virt_type import boot_sector
from infra.nbd import Export, StorageDaemon, socket_path, storage_daemon_argv, volumes_dir, volumes_uid, volumes_view
from infra.settings import Settings
from infra.volume_doors import Doors, forget, gate_argv
from tests.host.glance import Glance, StoredImage
from tests.host.hypervisor import Hypervisor
from tests.host.waiting import until
from tests.ports import free_port

SIGN = "the guest runs"
PATIENCE_S = 300
NETNS, BRIDGE = "armor", "br-armor"
ENTER = ("ip", "netns", "exec", NETNS)
MIB = 1 << 20


def quiet(*_: Any) -> None:
    pass


class Host:
    """The driver asks nobody for claims: there is nobody to take them away."""

    def __init__(self, state_dir: Path) -> None:
        settings = Settings(state_dir=state_dir, host="node1", host_networking="none", netns="", apparmor="required")
        for directory in (settings.run_dir, settings.log_dir, settings.host_dir):
            directory.mkdir(parents=True, exist_ok=True)
        subprocess.run(["ip", "netns", "add", NETNS], check=True)
        subprocess.run(["ip", "-n", NETNS, "link", "add", BRIDGE, "type", "bridge"], check=True)
        self.hypervisor = Hypervisor(settings, NETNS, patience_s=PATIENCE_S)
        self.settings = self.hypervisor.settings
        self.driver = Driver(self.settings, None)  # type: ignore[arg-type]
        self.glance = Glance(free_port())
        token = Token(f"http://127.0.0.1:{self.glance.port}", "none")
        self.session = Session(auth=token)
        self.images = ImageStore(self.settings, self.session)
        self.daemon = subprocess.Popen([*ENTER, *storage_daemon_argv(self.settings)])
        self.gate = subprocess.Popen([*ENTER, *gate_argv(self.settings)])
        self.doors = Doors(self.settings)

    def __enter__(self) -> Self:
        self.glance.__enter__()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for process in (self.daemon, self.gate):
            process.terminate()
            process.wait(60)
        self.hypervisor.close()
        self.glance.__exit__()
        forget(self.settings)
        subprocess.run(["ip", "netns", "delete", NETNS], check=True)

    def guest(self, number: int, **properties: str) -> DomainSpec:
        """A server with its disk here, not started: all that a guest of ours may have."""
        id, image = str(uuid.uuid4()), str(uuid.uuid4())
        self.glance.images[image] = StoredImage(boot_sector(SIGN.encode() + b"\r\n").ljust(MIB, b"\0"), "raw")
        flavor = FlavorFacts(id="1", name="nano", vcpus=1, ram=64)
        config = GuestConfig(hostname="web", user_data="IyEvYmluL3NoCg==")
        port = f"0b3e3a2e-0000-4000-8000-{number:012}"
        mac = f"fa:16:3e:00:00:{number:02x}"
        vif = Vif(port_id=port, network_id=port, label="x", mac_address=mac, tap=f"tap-armor{number}", bridge=BRIDGE)
        disk = self.images.fetch(ImageOnHost(instance_id=id, image_id=image, disk_gb=0), quiet)
        return DomainSpec(
            instance_id=id,
            attempt=1,
            name=f"web {number}",
            project_id="p" * 32,
            user_id="u" * 32,
            flavor=flavor,
            guest=config,
            image_id=image,
            image_properties={"hw_qemu_guest_agent": "yes", **properties},
            disk=disk,
            vifs=[vif],
        )

    def volume(self, device: str) -> VolumeConnection:
        """One of 1 MiB, exported behind a door of its own."""
        volume, attachment, name = (str(uuid.uuid4()) for _ in range(3))
        file, user = volumes_dir(self.settings) / f"{volume}.raw", volumes_uid(self.settings)
        file.write_bytes(bytes(MIB))
        assert user
        subprocess.run(["chown", f"{user}:{user}", str(file)], check=True)
        file.chmod(0o600)
        daemon = StorageDaemon(socket_path(self.settings), view=volumes_view(self.settings))
        until(lambda: socket_path(self.settings).exists())
        with closing(daemon):  # it serves one client at a time
            daemon.export(Export(attachment, volume, name, file))
        self.doors.open(attachment, name, self.settings.host)
        connection = self.doors.connection(attachment)
        return VolumeConnection(
            volume_id=volume, attachment_id=attachment, socket=connection, export=name, device=device
        )
