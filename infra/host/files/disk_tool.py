"""qemu-img on guests' disks. It runs as the guests' user, gets open files instead of paths, and is told what lies below
a disk: the disk's own header was in the hands of a guest's emulator."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.contracts.errors import host_cannot
from infra.host.files.owner import Owner
from infra.interruption import still_wanted

LONG_S = 6 * 3600
"""CPU seconds for what reads a whole disk."""


class DiskTool:
    """A cancel ends what runs. Raises HostCannot, in qemu-img's words, when it fails."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def create(self, target: Path, size: int) -> None:
        """An empty qcow2 of `size` bytes, which the guests' user may write."""
        with self._new(target) as out:
            self._run([out], "create", "-q", "-f", "qcow2", _name(out), str(size))

    def flatten(self, disk: Path, base: Path, base_format: str, target: Path) -> None:
        """One qcow2 with everything that a guest sees of the overlay `disk` over `base`. Nobody may write to `disk`."""
        with self._new(target) as out, _opened(disk, os.O_RDONLY) as top, _opened(base, os.O_RDONLY) as below:
            source = {**_qcow2(top), "backing": {"driver": base_format, "file": _file(below)}}
            self._run([out, top, below], "convert", "-O", "qcow2", f"json:{json.dumps(source)}", _name(out))

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

    def _run(self, files: list[int], *argv: str) -> str:
        command = self._owner.command("qemu-img", *argv, cpu_s=LONG_S)
        with subprocess.Popen(
            command, pass_fds=files, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as tool:
            try:
                while tool.poll() is None:
                    still_wanted()
                    time.sleep(0.02)
            except BaseException:
                tool.kill()
                raise
            told, words = tool.communicate()
        if tool.returncode:
            raise host_cannot(f"qemu-img {argv[0]} failed: {words.strip()[:300]}")
        return told


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
