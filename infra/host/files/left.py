"""What operations left beside guests' own files: found by name, and taken away."""

import contextlib
import re
from pathlib import Path

from infra.contracts.aside import LABELS, Aside
from infra.contracts.left import REVERTED, Left
from infra.credentials import write_private
from infra.host.files.kept import KeptFiles
from infra.host.files.local_disks import OWN
from infra.host.files.paths import UUID, HostPaths

ASIDE = re.compile(rf"(?:(?P<kept>{'|'.join(LABELS)})\.(?:kept|xml)|.+\.(?P<of>{'|'.join(LABELS)})(?:\.part)?)")
SNAPSHOT = re.compile(r"(?P<name>snapshot-[0-9a-zA-Z-]+)\.(?:qcow2|tar|part)")
RESCUE = re.compile(r"rescue-disk(?:\.part|\.request)?|image\.rescue-disk")


class LeftFiles:
    def __init__(self, paths: HostPaths) -> None:
        self._paths, self._kept = paths, KeptFiles(paths)

    def all(self) -> Left:
        """Of every server that has a directory here and something besides its own in it."""
        found: Left = {}
        with contextlib.suppress(FileNotFoundError):
            for directory in self._paths.instances.iterdir():
                if UUID.fullmatch(directory.name) and (names := self.of(directory.name)):
                    found[directory.name] = names
        return found

    def of(self, instance_id: str) -> dict[str, str]:
        """Name → request id; see `Left`."""
        directory, names = self._paths.instance(instance_id), set()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            names = {_name(file.name) for file in directory.iterdir()} - {""}
        return {name: self._request(directory, name) for name in sorted(names)}

    def aside(self, instance_id: str, label: str) -> Aside:
        """What is kept under this label, whoever it was kept for."""
        marker = self._paths.instance(instance_id) / f"{label}.kept"
        held = {"request_id": _text(marker), "disk": "left" if label == "rescue" else "moved", "runs": False}
        return Aside.model_validate({"instance_id": instance_id, "attempt": 0, "label": label, **held})

    def note_reverted(self, instance_id: str, request_id: str) -> None:
        write_private(self._paths.instance(instance_id) / REVERTED, request_id)

    def drop(self, instance_id: str, name: str) -> None:
        """Absent is success. A disk of which there is no other goes back to its place."""
        directory = self._paths.instance(instance_id)
        if name not in LABELS:
            for end in ("", ".qcow2", ".tar", ".part"):
                (directory / f"{name}{end}").unlink(missing_ok=True)
            return
        if name == "rebuild" and not (directory / "rebuild.kept").exists():
            self._back_where_missing(directory)
        self._kept.forget(self.aside(instance_id, name))
        if name == "rescue":
            for file in directory.iterdir():
                if RESCUE.fullmatch(file.name):
                    file.unlink(missing_ok=True)

    def _back_where_missing(self, directory: Path) -> None:
        """Of a rebuild that ended while it moved the disks away."""
        for beside in directory.glob("disk*.rebuild"):
            own = beside.with_name(beside.name.removesuffix(".rebuild"))
            if (own.name == "disk" or OWN.fullmatch(own.name)) and not own.exists():
                beside.replace(own)

    def _request(self, directory: Path, name: str) -> str:
        """A rescue is known by its disk's request: what it keeps is under the server's id."""
        files = {"rescue": "rescue-disk.request", REVERTED: REVERTED}
        return _text(directory / files.get(name, f"{name}.kept"))


def _name(file: str) -> str:
    if file == REVERTED:
        return file
    if RESCUE.fullmatch(file):
        return "rescue"
    if found := ASIDE.fullmatch(file):
        return str(found["kept"] or found["of"])
    found = SNAPSHOT.fullmatch(file)
    return str(found["name"]) if found else ""


def _text(file: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return file.read_text()
    return ""
