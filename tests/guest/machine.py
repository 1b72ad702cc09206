"""Runs the guest under plain QEMU (TCG), as a compute host would: overlay disk, config drive, one network card."""

import io
import json
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pycdlib

INSTANCE = "7d1c8f1e-6f0c-4b0e-9a51-0d2f6c0c7e01"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def config_drive(path: Path, metadata: dict[str, Any], user_data: str = "") -> Path:
    """An ISO 9660 image as Nova makes it: label config-2, openstack/latest/."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="config-2")
    iso.add_directory("/OPENSTACK", rr_name="openstack", joliet_path="/openstack")
    iso.add_directory("/OPENSTACK/LATEST", rr_name="latest", joliet_path="/openstack/latest")
    for name, text in (("meta_data.json", json.dumps(metadata)), ("user_data", user_data)):
        if text:
            data, short = text.encode(), name.upper().replace("_", "").split(".")[0][:8]
            iso.add_fp(
                io.BytesIO(data),
                len(data),
                f"/OPENSTACK/LATEST/{short}.;1",
                rr_name=name,
                joliet_path=f"/openstack/latest/{name}",
            )
    iso.write(str(path))
    iso.close()
    return path


class Machine:
    """One guest; `directory` has its overlay, serial log, QMP socket and the key for ssh."""

    def __init__(self, directory: Path, image: Path, memory_mb: int, key: Path) -> None:
        self.directory, self.memory_mb, self.key = directory, memory_mb, key
        self.port = free_port()
        self.network = "user"
        self.extra: list[str] = []
        self.disk = directory / "disk.qcow2"
        overlay = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(image), str(self.disk), "1G"]
        subprocess.run(overlay, check=True)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        file = self.directory / "serial.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def start(self, drive: Path | None = None) -> None:
        cdrom = ["-drive", f"file={drive},media=cdrom,readonly=on"] if drive else []
        (self.directory / "serial.log").unlink(missing_ok=True)
        command = ["qemu-system-x86_64", "-accel", "tcg,tb-size=32", "-m", str(self.memory_mb), "-display", "none"]
        command += ["-drive", f"file={self.disk},if=virtio", *cdrom, "-device", "virtio-rng-pci"]
        command += ["-nic", f"{self.network},model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{self.port}-:22"]
        command += ["-serial", f"file:{self.directory / 'serial.log'}"]
        command += ["-qmp", f"unix:{self.directory / 'qmp'},server=on,wait=off", *self.extra]
        self.process = subprocess.Popen(command)

    def wait_for(self, text: str, seconds: float = 90) -> str:
        return self.until(lambda: self.log if text in self.log else "", f"{text!r} on the serial console", seconds)

    def until(self, probe: Callable[[], str], what: str, seconds: float = 90) -> str:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := probe():
                return found
            time.sleep(0.1)
        raise AssertionError(f"no {what} after {seconds} s; the log ends with: {self.log[-1500:]}")

    def ssh(self, command: str) -> str:
        options = ["-q", "-F", "none", "-i", str(self.key), "-p", str(self.port), "-o", "StrictHostKeyChecking=no"]
        options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=20", "-o", "BatchMode=yes"]
        done = subprocess.run(
            ["ssh", *options, "cirros@127.0.0.1", command], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return done.stdout

    def qmp(self, *commands: str, **arguments: Any) -> Any:
        """Runs HMP command lines, or one QMP command with arguments; the last answer."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.directory / "qmp"))
            stream = control.makefile("rw")
            stream.readline()
            answer: Any = None
            for command in ("qmp_capabilities", *commands):
                body = {"execute": command, "arguments": arguments if command == commands[-1] else {}}
                stream.write(json.dumps(body) + "\n")
                stream.flush()
                while "event" in (answer := json.loads(stream.readline())):
                    pass
            return answer

    def power_off(self, seconds: float = 60) -> int:
        assert self.process
        self.qmp("system_powerdown")
        return self.process.wait(seconds)

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
