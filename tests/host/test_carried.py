"""What lies beside a root disk, packed on one host and unpacked on another: bytes, holes, sizes, hostile archives."""

import errno
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.errors import HOPELESS, HOST_CANNOT
from infra.contracts.local_disks import LocalDisk
from infra.host.files import carried
from infra.host.files.carried import NVRAM_MOST, CarriedFiles
from infra.host.files.download import Progress
from infra.host.files.left import LeftFiles
from infra.host.files.paths import HostPaths
from infra.settings import Settings
from tests.host.cloud import new_id

MIB = 1 << 20
DISKS = [LocalDisk(kind="ephemeral", number=n, size_mb=64, guest_format="ext4") for n in (0, 1)]
SWAP = LocalDisk(kind="swap", size_mb=8)
Make = Callable[[str], HostPaths]


@pytest.fixture
def host(tmp_path: Path) -> Make:
    return lambda name: HostPaths(Settings(state_dir=tmp_path, host=name))


def sparse(file: Path, size: int, **parts: bytes) -> bytes:
    """Its whole content, of which so much is written: `at_<MiB>`."""
    with file.open("wb") as out:
        for at, data in parts.items():
            out.seek(int(at.removeprefix("at_")) * MIB)
            out.write(data)
        out.truncate(size)
    return file.read_bytes()


def test_bytes_and_holes_arrive_and_nothing_else(host: Make, tmp_path: Path) -> None:
    id, here, there = new_id(), host("one"), host("two")
    place = here.make_instance(id)
    held = {
        "disk.eph0": sparse(place / "disk.eph0", 64 * MIB, at_0=b"first", at_5=b"x" * 9000, at_63=b"last"),
        "disk.eph1": sparse(place / "disk.eph1", 32 * MIB),
        "nvram.fd": sparse(place / "nvram.fd", 500_000, at_0=b"variables"),
    }
    for name in ("disk", "disk.swap", "disk.eph0.resize", "disk.eph2.part", "config.iso"):
        (place / name).write_bytes(b"not to go along")
    archive, progress = place / f"snapshot-{new_id()}.tar", Progress("")
    CarriedFiles(here).pack(id, archive, progress)
    assert archive.stat().st_size < 2 * MIB and archive.stat().st_mode & 0o777 == 0o600
    assert 0 < progress.bytes == progress.of < 2 * MIB
    assert LeftFiles(here).of(id).keys() >= {archive.stem}, "found by its name, should an operation leave it"
    for _ in range(2):
        CarriedFiles(there).unpack(id, archive, [*DISKS, SWAP])
    files = {file.name: file for file in there.instance(id).iterdir()}
    assert files.keys() == held.keys()
    for name, content in held.items():
        assert files[name].read_bytes()[: len(content)] == content
        assert files[name].stat().st_uid == there.owner_of(id).uid and files[name].stat().st_mode & 0o777 == 0o600
    assert files["disk.eph0"].stat().st_size == files["disk.eph1"].stat().st_size == 64 * MIB, "as large as it is to be"
    assert files["disk.eph0"].stat().st_blocks * 512 < MIB > files["disk.eph1"].stat().st_blocks * 512


def test_a_server_that_has_nothing_of_it_sends_nothing(host: Make) -> None:
    id, paths = new_id(), host("one")
    archive = paths.make_instance(id) / "snapshot-a.tar"
    CarriedFiles(paths).pack(id, archive, Progress(""))
    CarriedFiles(paths).unpack(id, archive, [])
    assert list(paths.instance(id).iterdir()) == [archive]


def member(name: str, size: int = 3, **more: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    for key, value in more.items():
        setattr(info, key, value)
    return info


HOSTILE = {
    "a link in place of a disk": member("disk.eph0", 0, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a device": member("disk.eph0", 0, type=tarfile.BLKTYPE),
    "a root disk": member("disk"),
    "a way out": member("../disk.eph0"),
    "a disk that the server does not have": member("disk.eph7"),
    "a definition": member("domain.xml"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_not_expected_is_left_in_the_archive(host: Make, tmp_path: Path, what: str) -> None:
    id, paths = new_id(), host("one")
    with tarfile.open(tmp_path / "archive", "w") as out:
        out.addfile(HOSTILE[what], io.BytesIO(b"bad"))
        out.addfile(member("nvram.fd", 4), io.BytesIO(b"good"))
    CarriedFiles(paths).unpack(id, tmp_path / "archive", DISKS)
    assert {file.name: file.read_bytes() for file in paths.instance(id).iterdir()} == {"nvram.fd": b"good"}


@pytest.mark.parametrize(("name", "size"), [("disk.eph0", 64 * MIB + 1), ("nvram.fd", NVRAM_MOST + 1)])
def test_more_than_there_may_be_is_refused(host: Make, tmp_path: Path, name: str, size: int) -> None:
    with tarfile.open(tmp_path / "archive", "w") as out:
        out.addfile(member(name, size), io.BytesIO(bytes(size)))
    with pytest.raises(ApplicationError, match="larger than it may be") as refusal:
        CarriedFiles(host("one")).unpack(new_id(), tmp_path / "archive", DISKS)
    assert refusal.value.type == HOPELESS


@pytest.mark.parametrize("cut", [100, 5000])
def test_a_broken_archive_is_refused(host: Make, tmp_path: Path, cut: int) -> None:
    id, paths = new_id(), host("one")
    with tarfile.open(tmp_path / "archive", "w") as out:
        out.addfile(member("disk.eph0", 60_000), io.BytesIO(b"y" * 60_000))
    whole = (tmp_path / "archive").read_bytes()
    (tmp_path / "archive").write_bytes(whole[:cut])
    with pytest.raises(ApplicationError, match="did not arrive") as refusal:
        CarriedFiles(paths).unpack(id, tmp_path / "archive", DISKS)
    assert refusal.value.type == HOPELESS and not (paths.instance(id) / "disk.eph0").exists()


def test_a_part_behind_the_end_is_refused(host: Make, tmp_path: Path) -> None:
    id, here = new_id(), host("one")
    sparse(here.make_instance(id) / "disk.eph0", 8 * MIB, at_7=b"here")
    CarriedFiles(here).pack(id, tmp_path / "archive.tar", Progress(""))
    told = bytearray((tmp_path / "archive.tar").read_bytes())
    assert told[483:494] == b"%011o" % (8 * MIB), "the disk's size, behind the map of its parts"
    told[483:494] = b"%011o" % MIB
    told[148:156] = b" " * 8
    told[148:156] = b"%06o\0 " % sum(told[:512])
    (tmp_path / "archive.tar").write_bytes(bytes(told))
    with pytest.raises(ApplicationError, match="behind the end"):
        CarriedFiles(host("two")).unpack(id, tmp_path / "archive.tar", DISKS)


def test_a_full_disk_is_the_host_s(host: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    id, paths = new_id(), host("one")
    with tarfile.open(tmp_path / "archive", "w") as out:
        out.addfile(member("nvram.fd", 4), io.BytesIO(b"good"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(carried, "_copy", full)
    with pytest.raises(ApplicationError) as refusal:
        CarriedFiles(paths).unpack(id, tmp_path / "archive", DISKS)
    assert refusal.value.type == HOST_CANNOT and list(paths.instance(id).iterdir()) == []
