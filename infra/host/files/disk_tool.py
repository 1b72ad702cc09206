"""qemu-img on guests' disks. It runs as the guests' user, gets open files instead of paths, and is told what lies below
a disk: the disk's own header was in the hands of a guest's emulator."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from infra.contracts.errors import host_cannot
from infra.host.files.download import Progress
from infra.host.files.owner import Owner
from infra.interruption import still_wanted

LONG_S = 6 * 3600
"""CPU seconds for what reads a whole disk."""
SIZE_AT = 24
"""Where a qcow2 has its disk's size, in 8 octets. Source: QEMU's docs/interop/qcow2.txt."""
TOLD = re.compile(rb"\(([0-9.]+)/100%\)")


class DiskTool:
    """A cancel ends what runs. Raises HostCannot, in qemu-img's words, when it fails."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def create(self, target: Path, size: int) -> None:
        """An empty qcow2 of `size` bytes, which the guests' user may write."""
        with self._new(target) as out:
            self._run([out], "create", "-q", "-f", "qcow2", _name(out), str(size))

    def flatten(self, disk: Path, base: tuple[Path, str], target: Path, progress: Progress) -> None:
        """One qcow2 with everything that a guest sees of the overlay `disk` over `base` (its file, its format). Nobody
        may write to `disk`. `progress` counts of the disk's size."""
        image, form = base
        with self._new(target) as out, _opened(disk, os.O_RDONLY) as top, _opened(image, os.O_RDONLY) as below:
            source = {**_qcow2(top), "backing": {"driver": form, "file": _file(below)}}
            progress.of = int.from_bytes(os.pread(top, 8, SIZE_AT))
            argv = ("convert", "-p", "-O", "qcow2", f"json:{json.dumps(source)}", _name(out))
            self._run([out, top, below], *argv, progress=progress)
            progress.bytes = progress.of

    def grow(self, disk: Path, size: int) -> None:
        """At least `size` bytes; a bigger disk stays as it is. Nobody may write to `disk`."""
        with _opened(disk, os.O_RDWR) as file:
            source = f"json:{json.dumps({**_qcow2(file), 'backing': None})}"
            known = json.loads(self._run([file], "info", "--output=json", source))
            if int(known["virtual-size"]) < size:
                self._run([file], "resize", "-q", source, str(size))

    @contextmanager
    def _new(self, target: Path) -> Iterator[int]:
        with _opened(target, os.O_CREAT | os.O_RDWR | os.O_TRUNC) as file:
            self._owner.writes(target)
            yield file

    def _run(self, files: list[int], *argv: str, progress: Progress | None = None) -> str:
        command = self._owner.command("qemu-img", *argv, cpu_s=LONG_S)
        with (
            TemporaryFile("w+") as out,
            subprocess.Popen(command, pass_fds=files, stdout=out, stderr=subprocess.PIPE, text=True) as tool,
        ):
            try:
                while tool.poll() is None:
                    still_wanted()
                    if progress:
                        progress.bytes = int(_share(out.fileno()) * progress.of)
                    time.sleep(0.02)
            except BaseException:
                tool.kill()
                raise
            _, words = tool.communicate()
            out.seek(0)
            told = out.read()
        if tool.returncode:
            raise host_cannot(f"qemu-img {argv[0]} failed: {words.strip()[:300]}")
        return told


def _share(out: int) -> float:
    """How much of its work qemu-img says is done, from 0 to 1: the last of its `    (12.34/100%)`."""
    told = TOLD.findall(os.pread(out, 1 << 16, max(0, os.fstat(out).st_size - 64)))
    return min(float(told[-1]), 100.0) / 100 if told else 0.0


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    file = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield file
    finally:
        os.close(file)


def _name(file: int) -> str:
    return f"/dev/fd/{file}"


def _file(file: int) -> dict[str, Any]:
    return {"driver": "file", "filename": _name(file)}


def _qcow2(file: int) -> dict[str, Any]:
    return {"driver": "qcow2", "file": _file(file)}
