"""A real libvirtd of one's own, with QEMU guests under emulation."""

import os
import signal
import subprocess
from pathlib import Path

import libvirt

from infra.settings import Settings
from tests.host.waiting import until
from workers import libvirtd
from workers.layout import Layout, guest_place, libvirt_run_dir

SEEN: dict[str, bytes] = {}
"""What the first libvirtd of this process saw of QEMU, file by file: each look costs two seconds."""


class Hypervisor:
    """libvirtd in namespaces of its own, with private directories below the state directory."""

    def __init__(self, settings: Settings, netns: str = "", patience_s: float = 20) -> None:
        self._patience_s = patience_s
        self._plain = settings.model_copy(update={"virt_type": "qemu"})
        self._layout = Layout(hosts=[settings.host], driver="qemu", netns=netns)
        libvirtd.prepare(self._plain, self._layout, settings.host)
        socket = libvirt_run_dir(settings, settings.host) / "libvirt-sock"
        uri = f"qemu+unix:///system?socket={socket}"
        self.settings = settings.model_copy(update={"libvirt_uri": uri, "virt_type": "qemu", **guest_place(settings)})
        seen = settings.host_dir / "libvirt" / "cache" / "qemu" / "capabilities"
        for name, text in SEEN.items():
            seen.mkdir(parents=True, exist_ok=True)
            (seen / name).write_bytes(text)
        self.start()
        SEEN.update({file.name: file.read_bytes() for file in seen.glob("*.xml")})

    def start(self) -> None:
        argv = libvirtd.argv(self._plain, self._layout, self._plain.host)
        env = {**os.environ, **libvirtd.environment(self._plain, self._layout, self._plain.host)}
        with (self._plain.host_dir / "libvirtd.log").open("ab") as log:
            self.process = subprocess.Popen(argv, env=env, stdout=log, stderr=log)
        until(self._answers, self._patience_s)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self._plain.host_dir / "libvirtd.log").read_text()[-2000:]
        try:
            libvirt.open(self.settings.libvirt_uri).close()
        except libvirt.libvirtError:
            return False
        return True

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def qemu(self, instance_id: str) -> int:
        """Process id of the instance's QEMU; 0 when there is none."""
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if line.startswith(b"/usr/bin/qemu-system") and instance_id.encode() in line:
                return int(entry.name)
        return 0

    def close(self) -> None:
        connection = libvirt.open(self.settings.libvirt_uri)
        for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
            domain.destroy()
        connection.close()
        self.process.terminate()
        self.process.wait(10)
        libvirtd.forget_run_dir(self._plain)
