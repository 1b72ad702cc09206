"""Guests across `kilonova down` and `up`: shut down with their host, remembered, to be started again with it.

`down` runs this as a command; the compute worker reads the list when it starts (`taken_down`, `forget`)."""

import contextlib
import json
import sys
import time
from pathlib import Path

from workers.plan import write_atomically

LIST = "guests-taken-down.json"
BOOT, BOOT_ID = "boot-id", Path("/proc/sys/kernel/random/boot_id")
POLITE_S = 8.0


def taken_down(host_dir: Path) -> list[str]:
    """UUIDs of the guests that ran when the host was taken down; [] when nothing is left to be started again."""
    try:
        uuids: list[str] = json.loads((host_dir / LIST).read_text())
    except (OSError, ValueError):
        return []
    return uuids


def forget(host_dir: Path) -> None:
    """They run again, or were dealt with otherwise."""
    (host_dir / LIST).unlink(missing_ok=True)


def machine_was_booted(host_dir: Path) -> bool:
    """Whether the machine was booted since `note_boot`; never on a host that was not noted yet."""
    file = host_dir / BOOT
    return file.exists() and file.read_text() != BOOT_ID.read_text()


def note_boot(host_dir: Path) -> None:
    """Its guests are what they should be since this boot of the machine."""
    write_atomically(host_dir / BOOT, BOOT_ID.read_text())


def take_down(uri: str, host_dir: Path, polite_s: float = POLITE_S) -> int:
    """Shut all running guests down by ACPI, end those that do not follow within `polite_s`; returns how many."""
    import libvirt

    libvirt.registerErrorHandler(lambda *_: None, None)
    connection = libvirt.open(uri)
    try:
        running = connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        uuids = sorted({domain.UUIDString() for domain in running} | set(taken_down(host_dir)))
        write_atomically(host_dir / LIST, json.dumps(uuids))
        for domain in running:
            with contextlib.suppress(libvirt.libvirtError):
                domain.shutdown()
        end = time.monotonic() + polite_s
        while any(_active(domain) for domain in running) and time.monotonic() < end:
            time.sleep(0.1)
        for domain in running:
            with contextlib.suppress(libvirt.libvirtError):
                domain.destroy()
    finally:
        connection.close()
    return len(running)


def _active(domain: "libvirt.virDomain") -> bool:  # type: ignore[name-defined]  # noqa: F821
    import libvirt

    try:
        return bool(domain.isActive())
    except libvirt.libvirtError:
        return False


if __name__ == "__main__":
    print("guests taken down:", take_down(sys.argv[1], Path(sys.argv[2])))
