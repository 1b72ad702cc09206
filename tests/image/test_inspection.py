"""Content that is not what it claims, or that leads to other files, is refused; made by qemu-img, or by hand."""

import struct
import subprocess
from pathlib import Path

import pytest

from tests.image.cloud import Api

MIB = 1 << 20


def made(tmp_path: Path, disk_format: str, *options: str) -> bytes:
    file = tmp_path / "disk"
    subprocess.run(["qemu-img", "create", "-q", "-f", disk_format, *options, str(file), "1M"], check=True)
    return file.read_bytes()


@pytest.mark.parametrize(
    ("disk_format", "tool", "options"),
    [
        ("raw", "raw", []),
        ("qcow2", "qcow2", []),
        ("qcow2", "qcow2", ["-o", "compat=0.10"]),
        ("qcow2", "qcow2", ["-o", "extended_l2=on,compression_type=zstd"]),
        ("vmdk", "vmdk", ["-o", "subformat=monolithicSparse"]),
        ("vmdk", "vmdk", ["-o", "subformat=streamOptimized"]),
        ("vdi", "vdi", []),
        ("vhd", "vpc", ["-o", "force_size=on"]),
        ("vhdx", "vhdx", []),
    ],
)
def test_true_formats_are_accepted(
    tmp_path: Path, anyone: Api, disk_format: str, tool: str, options: list[str]
) -> None:
    image = anyone.active(made(tmp_path, tool, *options), disk_format=disk_format)
    assert image["status"] == "active"
    assert image["virtual_size"] == (None if disk_format == "vhdx" else MIB)


@pytest.mark.parametrize("claimed", ["raw", "ami", "iso", "vmdk", "vhd", "gpt"])
def test_qcow2_under_another_name(tmp_path: Path, anyone: Api, claimed: str) -> None:
    image = anyone.create(disk_format=claimed)
    assert "declared disk_format" in anyone.upload(image, made(tmp_path, "qcow2"), 415)["message"]
    assert anyone.show(image)["status"] == "queued"


def test_raw_under_another_name(anyone: Api) -> None:
    for claimed in ("qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso"):
        anyone.upload(anyone.create(disk_format=claimed), bytes(100_000), 415)


def test_disks_with_partitions_and_file_systems_are_raw(anyone: Api) -> None:
    partitioned = bytes(510) + b"\x55\xaa" + bytes(MIB)
    iso = bytes(0x8001) + b"CD001" + bytes(MIB)
    for data in (partitioned, iso):
        assert anyone.active(data)["virtual_size"] == len(data)
    assert anyone.active(partitioned, disk_format="gpt")["status"] == "active"
    assert anyone.active(iso, disk_format="iso")["status"] == "active"


def test_qcow2_that_names_other_files(tmp_path: Path, anyone: Api) -> None:
    base = tmp_path / "base"
    base.write_bytes(bytes(MIB))
    backed = made(tmp_path, "qcow2", "-F", "raw", "-b", str(base))
    outside = made(tmp_path, "qcow2", "-o", f"data_file={tmp_path / 'outside'}")
    honest = bytearray(made(tmp_path, "qcow2"))
    honest[72:80] = struct.pack(">Q", 1 << 40)
    for data, word in ((backed, "backing file"), (outside, "data file"), (bytes(honest), "unknown")):
        image = anyone.create(disk_format="qcow2")
        assert word in anyone.upload(image, data, 415)["message"]
        assert anyone.show(image)["status"] == "queued"


def test_vmdk_that_names_other_files(tmp_path: Path, anyone: Api) -> None:
    single = made(tmp_path, "vmdk")
    flat = made(tmp_path, "vmdk", "-o", "subformat=monolithicFlat")
    lying = single.replace(b'RW 2048 SPARSE "disk"', b'RW 2048 FLAT "/etc/s"')
    assert lying != single
    kind = single.replace(b"monolithicSparse", b"monolithicFlatXX")
    for data in (flat, lying, kind):
        anyone.upload(anyone.create(disk_format="vmdk"), data, 415)


def test_truncated_header_is_refused(tmp_path: Path, anyone: Api) -> None:
    for length in (8, 40, 73):
        anyone.upload(anyone.create(disk_format="qcow2"), made(tmp_path, "qcow2")[:length], 415)


def test_containers_are_not_looked_into(anyone: Api) -> None:
    assert anyone.active(b"tar", disk_format="vmdk", container_format="ova")["virtual_size"] is None


def test_staged_data_is_inspected_at_import(tmp_path: Path, anyone: Api) -> None:
    image = anyone.create(disk_format="raw")
    path, octets = f"/images/{image['id']}", {"Content-Type": "application/octet-stream"}
    anyone.call("PUT", f"{path}/stage", 204, content=made(tmp_path, "qcow2"), headers=octets)
    anyone.call("POST", f"{path}/import", 415, json={"method": {"name": "glance-direct"}})
    assert anyone.show(image)["status"] == "uploading"
    anyone.delete(image)
