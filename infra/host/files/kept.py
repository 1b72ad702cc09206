"""A guest's files as they were before an operation: beside its own, under other names, complete or not at all."""

import contextlib
import shutil
from pathlib import Path

from infra.contracts.aside import Aside
from infra.credentials import write_private
from infra.host.files.copying import copying, held
from infra.host.files.download import Progress
from infra.host.files.local_disks import OWN, LocalDisks
from infra.host.files.paths import HostPaths
from infra.host.files.room import room_on_disk

VOLUMES = "volumes.json"


class KeptFiles:
    """`<label>.kept` names the request that they are kept for; it is written last and removed last."""

    def __init__(self, paths: HostPaths) -> None:
        self._paths, self._local = paths, LocalDisks(paths)

    def holds(self, want: Aside) -> bool:
        marker = self._marker(want)
        return marker.exists() and marker.read_text() == want.request_id

    def keep(self, want: Aside, xml: str, progress: Progress) -> None:
        """Safe to repeat; what an earlier operation left under this label goes. `progress` counts what is copied."""
        if self.holds(want):
            return
        self._paths.make_instance(want.instance_id)
        own, _ = self._disk(want)
        nvram = self._paths.nvram(want.instance_id)
        if (beside := nvram.with_name(f"{nvram.name}.{want.label}")).exists() and not nvram.exists():
            beside.replace(nvram)  # moved by a try that died
        if own.exists() or want.disk != "moved":  # else it was moved already, by a try that died
            self.forget(want)
        try:
            self._put_beside(want, xml, progress)
        except BaseException:  # of a full disk, for one: nobody comes back for what there is
            if own.exists() or want.disk != "moved":
                self.forget(want)
            raise
        if want.label == "rebuild" and nvram.exists():
            nvram.replace(beside)  # another system begins with another firmware's variables, as in Nova
        write_private(self._marker(want), want.request_id)

    def _put_beside(self, want: Aside, xml: str, progress: Progress) -> None:
        for own_file, kept_file in self._small(want):
            if own_file.exists():
                shutil.copy2(own_file, kept_file)
                shutil.chown(kept_file, own_file.stat().st_uid, own_file.stat().st_gid)
        write_private(self._paths.instance(want.instance_id) / f"{want.label}.xml", xml)
        if want.disk == "left":
            return
        own, kept = self._disk(want)
        local = [(file, file.with_name(f"{file.name}.{want.label}")) for file in self._local.own(want.instance_id)]
        disks = [*([(own, kept)] if own.exists() else []), *local]
        if want.disk == "moved":
            for file, beside in disks:
                file.replace(beside)
        else:
            self._copy(disks, progress)

    def _copy(self, disks: list[tuple[Path, Path]], progress: Progress) -> None:
        """An overlay holds what its guest wrote; its holes stay holes. The copy names the image below as the
        original."""
        progress.of, done = sum(held(own) for own, _ in disks), 0
        for own, kept in disks:
            partial = kept.with_name(f"{kept.name}.part")
            with room_on_disk(partial):
                argv = ["cp", "--sparse=always", "--reflink=auto", "--preserve=mode,ownership", str(own), str(partial)]
                for so_far in copying(argv, partial):
                    progress.bytes = min(done + so_far, progress.of)
                partial.replace(kept)
            done += held(kept)
        progress.bytes = progress.of

    def xml(self, want: Aside) -> str:
        """The domain as it was."""
        return (self._paths.instance(want.instance_id) / f"{want.label}.xml").read_text()

    def give_back(self, want: Aside) -> None:
        """The kept files take their places again. Safe to repeat; `forget` ends it."""
        if want.disk != "left":
            xml = self.xml(want)
            for file in self._local.own(want.instance_id):
                if f"/{file.name}'" not in xml and f'/{file.name}"' not in xml:
                    file.unlink()  # the guest had no such disk
        for own, kept in (*self._small(want), self._disk(want), *self._kept_local(want)):
            if want.label == "resize" and own.name == VOLUMES:
                continue  # they come and go while a resize waits to be confirmed, and stay as they are by now
            with contextlib.suppress(FileNotFoundError):
                kept.replace(own)

    def bring_local_back(self, want: Aside) -> None:
        """Ephemeral disks and swap that the guest has no more take their places again; others stay what they are."""
        for own, kept in self._kept_local(want):
            if not own.exists():
                kept.replace(own)

    def forget(self, want: Aside) -> None:
        """Absent is success."""
        for _, kept in (*self._small(want), self._disk(want), *self._kept_local(want)):
            kept.unlink(missing_ok=True)
            kept.with_name(f"{kept.name}.part").unlink(missing_ok=True)
        for half in self._paths.instance(want.instance_id).glob(f"disk.*.{want.label}.part"):
            half.unlink(missing_ok=True)
        (self._paths.instance(want.instance_id) / f"{want.label}.xml").unlink(missing_ok=True)
        self._marker(want).unlink(missing_ok=True)

    def _marker(self, want: Aside) -> Path:
        return self._paths.instance(want.instance_id) / f"{want.label}.kept"

    def _kept_local(self, want: Aside) -> list[tuple[Path, Path]]:
        directory, end = self._paths.instance(want.instance_id), f".{want.label}"
        kept = [file for file in directory.glob(f"disk.*{end}") if OWN.fullmatch(file.name.removesuffix(end))]
        return [(file.with_name(file.name.removesuffix(end)), file) for file in kept]

    def _disk(self, want: Aside) -> tuple[Path, Path]:
        disk = self._paths.disk(want.instance_id)
        return disk, disk.with_name(f"disk.{want.label}")

    def _small(self, want: Aside) -> list[tuple[Path, Path]]:
        directory = self._paths.instance(want.instance_id)
        names = ("image", "config.iso", VOLUMES, "nvram.fd")
        return [(directory / name, directory / f"{name}.{want.label}") for name in names]
