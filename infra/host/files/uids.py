"""A user of its own for each guest of this host, and how it is found again.

The group of the guest's directory names it, and so does its domain: neither is a list that could be lost or disagree
with what is there, and both go when the guest goes."""

import contextlib
import fcntl
import hashlib
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from infra.contracts.errors import host_cannot
from infra.host.files.owner import Owner
from infra.settings import Settings

GUEST_USER = "kilonova-guest"
"""Accounts of guests are called so, with their number. Where libvirtd is ours, it alone knows them."""


class GuestUids:
    """`shared` is who guests are that have no user of their own. Raises LibvirtDown where it must know the domains."""

    def __init__(self, settings: Settings, instances: Path) -> None:
        self.shared = Owner(settings.guest_uid)
        self._range = range(settings.guest_uid_first, settings.guest_uid_first + settings.guest_uid_count)
        self._uri, self._instances = settings.libvirt_uri, instances
        self._own_libvirtd = bool(settings.guest_view)

    def of(self, instance_id: str) -> Owner:
        """Whose the guest's files are; a guest without a directory has none."""
        return self._owner(self._gid(instance_id))

    def make_directory(self, instance_id: str) -> None:
        """The guest's directory, and with it its user: what it had, else one that nobody else has."""
        directory = self._instances / instance_id
        self.shared.directory(self._instances)
        if not self._range or self._gid(instance_id):
            self.of(instance_id).directory(directory)
            return
        with self._alone():
            self._chosen(instance_id).directory(directory)

    def _chosen(self, instance_id: str) -> Owner:
        from infra.host.libvirt.labels import labels_at  # here: commands that only know paths load no libvirt

        labels = labels_at(self._uri)
        if gid := self._gid(instance_id):
            return self._owner(gid)  # by another step, just now
        if not labels.obeyed():
            return self.shared
        named = labels.all()
        if instance_id in named:
            return self._owner(named[instance_id])
        with contextlib.suppress(FileNotFoundError):
            if any((self._instances / instance_id).iterdir()):
                return self.shared  # of a time in which all guests had one user
        return self._owner(self._free(instance_id, set(named.values())))

    def _free(self, instance_id: str, named: set[int]) -> int:
        """Where the search begins follows from the id, so that a user that was given back is not the next one's."""
        taken = named | self._of_directories() | _running()
        begin = int.from_bytes(hashlib.sha256(instance_id.encode()).digest()[:8])
        for number in range(len(self._range)):
            uid = self._range[(begin + number) % len(self._range)]
            if uid not in taken and _account(uid) == ("" if self._own_libvirtd else f"{GUEST_USER}-{uid}"):
                return uid
        raise host_cannot("every user id of guest_uid_first and guest_uid_count is taken, or has not its account")

    def _owner(self, gid: int) -> Owner:
        if not self.shared.uid or gid in (0, self.shared.uid):
            return self.shared
        return Owner(gid, self.shared.uid)

    def _gid(self, instance_id: str) -> int:
        """Group of the guest's directory; 0 when it has none, or nobody's yet."""
        try:
            return (self._instances / instance_id).stat().st_gid
        except FileNotFoundError:
            return 0

    def _of_directories(self) -> set[int]:
        with os.scandir(self._instances) as entries:
            return {entry.stat(follow_symlinks=False).st_gid for entry in entries}

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One choice at a time on this host, also while one agent takes over from another."""
        directory = os.open(self._instances, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield
        finally:
            os.close(directory)


def _running() -> set[int]:
    """Users of the machine's processes: also of a guest that ends, and of another cloud's."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found.add(entry.stat().st_uid)
    return found


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""
