"""Guests of QEMU that send and receive, with the network card and offloads that libvirt gives a guest."""

import gzip
import socket
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.guest.source import HERE
from infra.hostnet import netns
from infra.hostnet.models import PortPlug
from tests.hostnet.conftest import ip

KINDS = {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp"}


@dataclass(frozen=True)
class Image:
    kernel: Path
    initrd: Path


def build(scratch: Path) -> Image:
    """The guests' lean kernel (see `infra/guest/kernel.sh`) and `station.c`, which `cc` compiles."""
    program, kernel, initrd = scratch / "init", scratch / "vmlinuz", scratch / "initrd.gz"
    subprocess.run(["cc", "-static", "-O2", "-o", program, Path(__file__).with_name("station.c")], check=True)
    subprocess.run([HERE / "kernel.sh", kernel], check=True, stdout=subprocess.DEVNULL)
    entries = [
        _entry("dev", stat.S_IFDIR | 0o755),
        _entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)),
        _entry("init", stat.S_IFREG | 0o755, program.read_bytes()),
        _entry("TRAILER!!!", 0),
    ]
    initrd.write_bytes(gzip.compress(b"".join(entries)))
    return Image(kernel, initrd)


def _entry(name: str, mode: int, body: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """One file of a cpio archive. Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst (newc)."""
    fields = [0, mode, 0, 0, 1, 0, len(body), 0, 0, *device, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % value for value in fields) + name.encode() + b"\0"
    return _padded(head) + _padded(body)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


class Machine:
    """A guest whose tap is a port of `bridge`."""

    def __init__(self, image: Image, namespace: str, plug: PortPlug, bridge: str, mtu: int) -> None:
        self.plug = plug
        command = ["qemu-system-x86_64", "-accel", "tcg,tb-size=64", "-m", "128", "-display", "none", "-nodefaults"]
        command += ["-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", "console=ttyS0 quiet"]
        command += ["-netdev", f"tap,id=n,ifname={plug.tap},script=no,downscript=no", "-serial", "stdio"]
        command += ["-device", f"virtio-net-pci,netdev=n,mac={plug.mac_address},host_mtu={mtu}"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = netns.call(namespace, lambda: subprocess.Popen(command, text=True, bufsize=1, **pipes))  # type: ignore[call-overload]
        self._answer("up")
        ip(namespace, "link", "set", plug.tap, "mtu", str(mtu), "master", bridge, "up")
        self.tell(f"address {self.address} {mtu}")
        self._answer("configured")

    @property
    def address(self) -> str:
        return self.plug.fixed_ips[0].ip_address

    def tell(self, line: str) -> None:
        self._process.stdin.write(line + "\n")

    def _answer(self, word: str) -> list[str]:
        """The rest of the next answer, which must begin with `word`."""
        while line := self._process.stdout.readline():
            _, found, said = line.partition("= ")
            if found:
                words = said.split()
                assert words[0] == word, said
                return list(words[1:])
        raise AssertionError("the guest has ended")

    def cpu(self) -> float:
        """Seconds of CPU that its QEMU has taken, in the kernel as well."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def throughput(source: Machine, target: Machine, kind: int, seconds: float) -> tuple[float, float]:
    """Mbit/s that arrive, and milliseconds of CPU of both QEMUs for each Mbit."""
    begun = source.cpu() + target.cpu()
    target.tell(f"listen {KINDS[kind]}")
    target._answer("listening")
    source.tell(f"send {KINDS[kind]} {target.address} {seconds * 1000:.0f}")
    source._answer("sent")
    octets, took = map(float, target._answer("got"))
    arrived = octets * 8 / 1e6
    return arrived / max(took, 1e-9), (source.cpu() + target.cpu() - begun) * 1000 / max(arrived, 1e-9)
