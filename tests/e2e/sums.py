"""A guest that is a boot sector: it fills its memory, and tells at each boot a sum of what is on its disk.

A boot is less than half a second of a processor under emulation, a tenth of what a kernel's is."""

import os
import subprocess
from pathlib import Path

MIB = 1 << 20
SUMMED = 24 * MIB
"""Of the disk, from its second MiB on."""
NOTHING = "A" * 8
"""What it tells of a disk without a byte there: a line at its first serial port."""
SECTOR = bytes.fromhex(
    "fafc6631ed8edd8ed5bc0070"  # cli; cld; ebp = ds = ss = 0; sp = 0x7000, on another page than this code
    "0f0116947c0f20c0400f22c0bb08008ec3480f22c0fb"  # lgdt; into protected mode and back: es reaches everything; sti
    "66bb0100000066bf00001000"  # from 1 MiB of memory on
    "6669db0d66190066436689d8660fc86631d86766ab66f7c70000800074e2"  # to 8 MiB: numbers, each unlike the last one
    "b442b280beaa7ccd137239"  # next: int 0x13, ah = 0x42: 64 KiB of the disk to 0x10000
    "b800108ed831f6b9004066ad6601c566d1c5e2f6"  # ebp = ebp + each double word, and a bit to the left
    "8ed98106b27c8000813eb27c00c872d1"  # from 1 to 25 MiB of the disk
    "b108baf80366c1c50489e8240f0441eee2f3b00aee"  # out 0x3f8: ebp as eight letters, a line's end
    "faf4ebfc"  # end: cli; hlt
    "0f009a7c00000000000000000000ffff00000092cf00"  # a table of segments: nothing, and everything
    "10008000000000100008000000000000"  # how much, where to, which
)


def image(file: Path) -> None:
    """It as a qcow2: Glance takes a raw image with a boot sector for a GPT disk."""
    raw = file.with_suffix(".raw")
    raw.write_bytes(SECTOR.ljust(510, b"\0") + b"\x55\xaa")
    os.truncate(raw, 32 * MIB)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(file)], check=True)
    raw.unlink()


def write(disk: Path, place: Path) -> None:
    """What cannot be made smaller, to a guest's disk, as if by the guest, which is off."""
    source = place / "written"
    source.write_bytes(os.urandom(SUMMED))
    command = f"write -q -s {source} {MIB} {SUMMED}"
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", command, str(disk)], check=True, stdout=subprocess.DEVNULL)
    source.unlink()
