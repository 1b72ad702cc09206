"""What an image file really is, read from its bytes under resource limits; what it claims to be counts for nothing."""

import json
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.host.files.owner import Owner, opened

QCOW2 = b"QFI\xfb"
EXTERNAL_DATA_FILE = 1 << 2  # incompatible feature bit; QEMU docs/interop/qcow2.txt


class Unacceptable(Exception):
    """The file must not become anybody's disk; the text is for the tenant."""


@dataclass(frozen=True)
class ImageFormat:
    format: str  # raw or qcow2
    virtual_size: int  # bytes


def inspect(path: Path, owner: Owner) -> ImageFormat:
    """Format and virtual size of `path`, read by the owner's user. Raises Unacceptable for one that names other files,
    is encrypted, or has a format other than raw and qcow2. Source: QEMU docs/interop/qcow2.txt."""
    looks = _qcow2_header(path)
    probe = ["-f", "qcow2"] if looks else []  # without -f QEMU tells the format by content
    try:
        with path.open("rb") as file:
            done = subprocess.run(
                owner.command("qemu-img", "info", "--output=json", *probe, *opened(file.fileno())),
                pass_fds=[file.fileno()],
                capture_output=True,
                text=True,
                timeout=60,
            )
    except subprocess.TimeoutExpired as error:
        raise Unacceptable("its format takes too long to read") from error
    if done.returncode:
        raise Unacceptable("its format cannot be read")
    facts = json.loads(done.stdout)
    if facts["format"] not in ("raw", "qcow2"):
        raise Unacceptable(f"format {facts['format']} is not supported")
    if facts.get("backing-filename") or facts.get("full-backing-filename"):
        raise Unacceptable("it has a backing file")
    return ImageFormat(facts["format"], int(facts["virtual-size"]))


def _qcow2_header(path: Path) -> bool:
    """Whether it is a qcow2; refuses the dangerous ones before any tool opens what they point to."""
    with path.open("rb") as file:
        header = file.read(104)
    if header[:4] != QCOW2:
        return False
    if len(header) < 72:
        raise Unacceptable("its header is cut off")
    version, backing = struct.unpack(">IQ", header[4:16])
    if version not in (2, 3):
        raise Unacceptable(f"qcow2 version {version} is not supported")
    if backing:
        raise Unacceptable("it has a backing file")
    if struct.unpack(">I", header[32:36])[0]:
        raise Unacceptable("it is encrypted")
    if version == 3 and struct.unpack(">Q", header[72:80].ljust(8, b"\xff"))[0] & EXTERNAL_DATA_FILE:
        raise Unacceptable("it has an external data file")
    return True
