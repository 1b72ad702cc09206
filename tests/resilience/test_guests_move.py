"""Real guests on two hosts with QEMU each: what one wrote to all its disks, and its firmware to its variables, goes
along with a resize, and is what it was after a revert."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from infra.contracts.local_disks import LocalDisk
from infra.host.files import firmware
from infra.tables.compute import Flavor
from tests.host.hypervisor import Hypervisor
from tests.resilience.host import Extra
from tests.workflows.acting import do
from tests.workflows.acting import request as asked
from tests.workflows.cloud import Cloud
from tests.workflows.servers import instance_of
from workers.layout import guest_uid

MISSING = [tool for tool in ("libvirtd", "qemu-system-x86_64") if not shutil.which(tool)]
pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(bool(MISSING) or os.geteuid() != 0, reason=f"needs root and {', '.join(MISSING) or 'no more'}"),
]
HERE, THERE = "kh1", "node3"
COUNTS = bytes.fromhex(
    "fa31c08ed88ec08ed0bc007cfbb280"  # cli; ds = es = ss = 0; sp = 0x7c00; sti; dl = 0x80
    "c7065b7c0100be597cb44252cd135a722d"  # next: int 0x13, ah = 0x42: the disk's second sector to 0x7e00; done if none
    "a0007e3c417204fec0eb02b041a2007e"  # its first byte: the letter behind the one that it is, A where it is none
    "52baf803ee5a"  # out 0x3f8, al
    "c7065b7c0100be597cb8004352cd135a"  # int 0x13, ah = 0x43: it is written
    "fec280fa8472c2"  # dl++; next, of four disks at most
    "baf803b00deeb00aeef4ebfd"  # done: a line's end; hlt
    "1000010000" + "7e00000100000000000000"  # where from and where to
)
"""A guest that counts, on each of its disks, how often it was booted, and tells the numbers as letters."""


def counting() -> bytes:
    """As a qcow2: Glance takes a raw image with a boot sector for a GPT disk."""
    with tempfile.TemporaryDirectory() as place:
        raw, image = Path(place) / "raw", Path(place) / "image"
        raw.write_bytes((COUNTS.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image)], check=True)
        return image.read_bytes()


@pytest.fixture(scope="module")
def hosts(cloud: Cloud) -> Iterator[tuple[Extra, Extra]]:
    with host(cloud, HERE) as here, host(cloud, THERE) as there:
        yield here, there


@contextlib.contextmanager
def host(cloud: Cloud, name: str) -> Iterator[Extra]:
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kq-")))
        own = {"state_dir": state, "host": name, "host_networking": "none", "guest_uid": guest_uid(cloud.settings)}
        settings = cloud.settings.model_copy(update=own)
        settings.host_dir.mkdir(parents=True)
        hypervisor = Hypervisor(settings)
        stack.callback(hypervisor.close)
        names = ("state_dir", "host", "guest_uid", "guest_view", "guest_uid_first", "guest_uid_count")
        place = {key: getattr(hypervisor.settings, key) for key in (*names, "libvirt_uri", "virt_type")}
        found = Extra(cloud, state, **place)
        found.report()
        stack.callback(found.forget)
        yield found


def image(cloud: Cloud) -> str:
    form = {"name": "counts", "disk_format": "qcow2", "container_format": "bare"}
    id = str(cloud.post("image", "/v2/images", form)["id"])
    headers = {"X-Auth-Token": cloud.token, "Content-Type": "application/octet-stream"}
    url = cloud.settings.url("image", f"/v2/images/{id}/file")
    httpx.put(url, content=counting(), headers=headers).raise_for_status()
    return id


async def told(host: Extra, server_id: str, boots: int) -> list[str]:
    """What the guest said at each boot on this host, once it was booted so often."""
    for _ in range(600):
        lines = host.host.driver.console_output(server_id, None).split()
        if len(lines) == boots and host.host.driver.console_output(server_id, None).endswith("\n"):
            return lines
        await asyncio.sleep(0.1)
    raise AssertionError(f"not booted {boots} times on {host.name}: {lines}")


async def test_its_root_disk_ephemeral_disk_and_volume_are_what_they_were(
    cloud: Cloud, hosts: tuple[Extra, Extra]
) -> None:
    """Root, ephemeral disk and volume, in this order. On the way back the host's own disks are those of before the
    resize, and the volume is what it is by now."""
    here, there = hosts
    async with here.working(), there.working():
        disk = LocalDisk(kind="ephemeral", size_mb=16, guest_format="ext4", device="vdb", of_flavor=False, boot_index=1)
        facts = {"image_properties": {"os_shutdown_timeout": "0"}, "local_disks": [disk], "ports": []}
        request = cloud.request(image_id=await asyncio.to_thread(image, cloud), forced_host=HERE, **facts)
        request.volumes[0].device, request.volumes[0].boot_index = (
            "vdc",
            2,
        )  # firmware skips what is not booted from
        boot = await cloud.boot(request)
        assert await cloud.end(boot) is None
        id = instance_of(boot)
        assert await told(here, id, 1) == ["AAA"]
        bigger = {"id": "bigger", "name": "bigger", "vcpus": 1, "ram": 96}
        larger = disk.model_copy(update={"size_mb": 32}).model_dump()
        action, wanted = asked(cloud, boot, "resize")
        body = {"flavor": bigger, "same_host": False, "local_disks": [larger]}
        await cloud.ops.start(action, wanted.model_copy(update={"body": body}))
        assert await cloud.end(boot) is None
        record = cloud.record(boot)
        assert record is not None and (record.host, record.vm_state) == (THERE, "resized")
        assert await told(there, id, 1) == ["BBB"], "all three went along"
        assert here.guests() == {id} == there.guests()
        assert (there.host.driver._paths.instance(id) / "disk.eph0").stat().st_size == 32 << 20
        assert await do(cloud, boot, "revertResize") is None
        record = cloud.record(boot)
        assert record is not None and (record.host, record.vm_state) == (HERE, "active")
        assert await told(here, id, 2) == ["AAA", "BBC"], "its own disks as they were, the volume as it is"
        assert there.guests() == set() and there.host.driver.facts().instance_dirs == []
        await cloud.delete(boot)
        assert await cloud.end(boot) is None
        assert await cloud.leaks() == []


def boots(host: Extra, server_id: str) -> int:
    """How often the guest's firmware was started with the variables that it has on this host, as they say themselves:
    the variable MTC, which it writes anew each time. Source: UEFI PI, "Monotonic Counter"; edk2's VariableFormat.h."""
    file = host.host.driver._paths.nvram(server_id)
    newest, head = b"\xaa\x55\x3f", 60
    told, name = file.read_bytes() if file.exists() else b"", "MTC\0".encode("utf-16-le")
    found = [at for at in range(len(told)) if told.startswith(name, at) and told.startswith(newest, at - head)]
    return max((int.from_bytes(told[at + len(name) :][:4], "little") for at in found), default=0)


async def started(host: Extra, server_id: str, times: int) -> None:
    for _ in range(900):
        if (found := boots(host, server_id)) == times:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"firmware started {found} times, not {times}, on {host.name}")


@pytest.mark.skipif(not firmware.is_there(), reason="no ovmf here: hosts tell so, and get no such guest")
async def test_its_firmware_variables_go_along(cloud: Cloud, hosts: tuple[Extra, Extra]) -> None:
    """Mechanism: `carried`. Firmware alone, which counts its starts among its variables. On the way back it has those
    that its host kept."""
    here, there = hosts
    with cloud.database.write() as session:
        session.add(Flavor(id="uefi", name="uefi", ram=160, vcpus=1, disk=0))
    about = {"hw_firmware_type": "uefi", "hw_machine_type": "q35", "os_shutdown_timeout": "0"}
    async with here.working(), there.working():
        for each in hosts:
            each.report()
        bare = {"image_properties": about, "local_disks": [], "ports": [], "volumes": [], "flavor_id": "uefi"}
        disk = await asyncio.to_thread(image, cloud)
        boot = await cloud.boot(cloud.request(image_id=disk, forced_host=HERE, **bare))
        assert await cloud.end(boot) is None
        id = instance_of(boot)
        await started(here, id, 1)
        action, wanted = asked(cloud, boot, "resize")
        body = {"flavor": {"id": "uefi2", "name": "uefi2", "vcpus": 1, "ram": 192}, "same_host": False}
        await cloud.ops.start(action, wanted.model_copy(update={"body": body}))
        assert await cloud.end(boot) is None
        record = cloud.record(boot)
        assert record is not None and (record.host, record.vm_state) == (THERE, "resized")
        await started(there, id, 2)
        assert boots(here, id) == 1, "what the host keeps"
        assert await do(cloud, boot, "revertResize") is None
        await started(here, id, 2)
        assert there.guests() == set() and there.host.driver.facts().instance_dirs == []
        await cloud.delete(boot)
        assert await cloud.end(boot) is None
        assert await cloud.leaks() == []
