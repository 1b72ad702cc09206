"""A copy of a running guest's disk as it was at one moment. Source: libvirt's virDomainBackupBegin, push mode."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import libvirt

from infra.contracts.errors import host_cannot
from infra.host.files.download import Progress
from infra.host.libvirt.connection import Connection
from infra.host.libvirt.faults import is_missing
from infra.interruption import still_wanted

PATIENCE_S = 60.0
FIRST_S = 0.01
"""Until the first look at a copy; later ones come after a twentieth of the time since."""
ON_ITS_OWN = libvirt.VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL


class Backups:
    """One at a time for each domain. All methods raise LibvirtDown, or libvirtError for what libvirt refuses."""

    def __init__(self, connection: Connection) -> None:
        self._libvirt = connection

    def is_active(self, instance_id: str) -> bool:
        return self._libvirt.call(lambda c: _active(c, instance_id) is not None)

    def disk_bytes(self, instance_id: str, device: str) -> int:
        """Size of the disk as the guest sees it."""
        return self._libvirt.call(lambda c: int(c.lookupByUUIDString(instance_id).blockInfo(device)[0]))

    @contextmanager
    def ending(self, instance_id: str) -> Iterator[None]:
        """A job that an earlier try left is ended first, and one that is begun in the block when the block fails."""
        self._abort(instance_id)
        try:
            yield
        except BaseException:
            self._abort(instance_id)
            raise

    def begin(self, instance_id: str, device: str, target: Path) -> None:
        """Begin to fill `target`, an empty qcow2 of the disk's size, with what the disk holds at this moment."""
        self._libvirt.call(lambda c: _begin(c, instance_id, device, target), PATIENCE_S)

    def wait(self, instance_id: str, every_s: float, progress: Progress) -> None:
        """Until the copy is complete, looking the more often the shorter it has taken, and every `every_s` at least.
        Raises HostCannot when the guest went down meanwhile."""
        begun = time.monotonic()
        while job := self._libvirt.call(lambda c: _job(c, instance_id)):
            _count(job, progress)
            still_wanted()
            time.sleep(min(every_s, FIRST_S + (time.monotonic() - begun) / 20))
        job = self._libvirt.call(lambda c: _ended(c, instance_id))
        if not job.get("success", job.get("type") == libvirt.VIR_DOMAIN_JOB_COMPLETED):
            raise host_cannot("the copy of the guest's disk was broken off")
        _count(job, progress)

    def _abort(self, instance_id: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while self._libvirt.call(lambda c: _end(c, instance_id)):
            if time.monotonic() > end:
                raise host_cannot("an earlier copy of the guest's disk does not end")
            time.sleep(0.1)


def _active(connection: Any, instance_id: str) -> Any:
    try:
        domain = connection.lookupByUUIDString(instance_id)
        return domain if domain.isActive() else None
    except libvirt.libvirtError as error:
        if is_missing(error):
            return None
        raise


def _begin(connection: Any, instance_id: str, device: str, target: Path) -> None:
    backup = Element("domainbackup", mode="push")
    disk = SubElement(SubElement(backup, "disks"), "disk", name=device, backup="yes", type="file")
    SubElement(disk, "target", file=str(target))
    SubElement(disk, "driver", type="qcow2")
    connection.lookupByUUIDString(instance_id).backupBegin(tostring(backup, encoding="unicode"), None, ON_ITS_OWN)


def _job(connection: Any, instance_id: str) -> dict[str, Any]:
    """What libvirt says of the job that runs; {} when none does."""
    domain = _active(connection, instance_id)
    stats: dict[str, Any] = domain.jobStats() if domain is not None else {}
    return {} if stats.get("type", libvirt.VIR_DOMAIN_JOB_NONE) == libvirt.VIR_DOMAIN_JOB_NONE else stats


def _end(connection: Any, instance_id: str) -> bool:
    """Ask a backup job to end; whether there is one."""
    domain = _active(connection, instance_id)
    if domain is None:
        return False
    try:
        domain.backupGetXMLDesc()
        domain.abortJob()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN_BACKUP, libvirt.VIR_ERR_OPERATION_INVALID):
            raise
        return False
    return True


def _ended(connection: Any, instance_id: str) -> dict[str, Any]:
    """What libvirt says of the job that ended last; {} when the guest went down."""
    domain = _active(connection, instance_id)
    return dict(domain.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)) if domain is not None else {}


def _count(job: dict[str, Any], progress: Progress) -> None:
    progress.bytes, progress.of = job.get("disk_processed", 0), job.get("disk_total", 0)
