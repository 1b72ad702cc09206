"""UEFI for guests: Debian's OVMF, and each guest's own variables, which it writes itself."""

import shutil
from pathlib import Path

from infra.contracts.errors import host_cannot
from infra.host.files.paths import HostPaths
from infra.host.files.room import room_on_disk

CODE, VARIABLES = Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd")


def is_there() -> bool:
    """Whether this host can start a guest with UEFI."""
    return CODE.exists() and VARIABLES.exists()


def ensure(paths: HostPaths, instance_id: str) -> None:
    """Variables as OVMF has them at first, for a guest that has none yet; what a guest has set stays. HostCannot
    without the package."""
    file = paths.nvram(instance_id)
    if file.exists():
        return
    if not is_there():
        raise host_cannot("this host has no UEFI firmware (package ovmf)")
    partial = file.with_name(f"{file.name}.part")
    with room_on_disk(partial):
        shutil.copyfile(VARIABLES, partial)
        paths.owner_of(instance_id).writes(partial)
        partial.replace(file)
