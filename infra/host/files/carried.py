"""What goes along with a guest to another host beside its root disk, in one archive: ephemeral disks, whose holes stay
holes, and firmware variables. Swap is made anew."""

import os
import tarfile
from pathlib import Path
from typing import IO

from infra.contracts.errors import hopeless
from infra.contracts.local_disks import LocalDisk
from infra.host.files.copying import copying, held
from infra.host.files.download import CHUNK, Progress
from infra.host.files.local_disks import MIB, LocalDisks
from infra.host.files.paths import HostPaths
from infra.host.files.room import room_on_disk
from infra.interruption import still_wanted

NVRAM_MOST = 4 * MIB
"""More than the variables of any firmware have."""


class CarriedFiles:
    """Each method may be repeated. The guest is off, or was never on."""

    def __init__(self, paths: HostPaths) -> None:
        self._paths, self._local = paths, LocalDisks(paths)

    def pack(self, instance_id: str, into: Path, progress: Progress) -> None:
        """All that there is of it. HostCannot when the disk is full."""
        nvram = self._paths.nvram(instance_id)
        files = [file for file in self._local.own(instance_id) if file.name != LocalDisk(kind="swap", size_mb=0).file]
        files += [nvram] if nvram.exists() else []
        progress.of = sum(held(file) for file in files)
        partial = into.with_suffix(".part")
        partial.unlink(missing_ok=True)
        names = ["--files-from=/dev/null", *(file.name for file in files)]  # none at all is an archive, too
        place = str(self._paths.instance(instance_id))
        with room_on_disk(partial):
            argv = ["tar", "--create", "--sparse", "--format=gnu", f"--file={partial}", f"--directory={place}", *names]
            for so_far in copying(argv, partial):
                progress.bytes = min(so_far, progress.of)
            partial.chmod(0o600)
            partial.replace(into)
        progress.bytes = progress.of

    def unpack(self, instance_id: str, archive: Path, disks: list[LocalDisk]) -> None:
        """Files of `disks` get the size that they are to have. What is in the archive besides is left there: its bytes
        were a tenant's, and came over the network. Hopeless when it is none; HostCannot when the disk is full."""
        place = self._paths.make_instance(instance_id)
        sizes = {disk.file: disk.size_mb * MIB for disk in disks if disk.kind == "ephemeral"}
        most = {**sizes, self._paths.nvram(instance_id).name: NVRAM_MOST}
        try:
            with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    if not member.isreg() or member.name not in most:
                        continue
                    if member.size > most[member.name]:
                        raise tarfile.ReadError(f"{member.name} is larger than it may be")
                    self._place(instance_id, place / member.name, member, file, sizes.get(member.name, 0))
        except tarfile.TarError as error:
            raise hopeless(f"What instance {instance_id} had beside its root disk did not arrive: {error}") from error

    def _place(self, instance_id: str, target: Path, member: tarfile.TarInfo, file: IO[bytes], size: int) -> None:
        partial = target.with_name(f"{target.name}.part")
        flags = os.O_CREAT | os.O_RDWR | os.O_TRUNC | os.O_NOFOLLOW
        with room_on_disk(partial), os.fdopen(os.open(partial, flags, 0o600), "r+b") as out:
            self._paths.owner_of(instance_id).writes(partial)
            file.seek(member.offset_data)
            for at, length in getattr(member, "sparse", None) or [(0, member.size)]:
                if at + length > member.size:
                    raise tarfile.ReadError("a part lies behind the end")
                out.seek(at)
                _copy(file, out, length)
            out.truncate(max(member.size, size))
            partial.replace(target)


def _copy(file: IO[bytes], out: IO[bytes], length: int) -> None:
    while length:
        still_wanted()
        some = file.read(min(CHUNK, length))
        if not some:
            raise tarfile.ReadError("it ends too early")
        out.write(some)
        length -= len(some)
