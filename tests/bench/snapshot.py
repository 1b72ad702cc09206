"""`make bench-snapshot`: an image of a server's disk of 1 GiB, beside `qemu-img convert` of that disk and its upload.

The disk holds random bytes, so that neither side finds a hole. A QEMU guest without a network, which has nothing to
boot from: its processor rests."""

import asyncio
import os
import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.boot import Cloud, Row, main
from workers.layout import Layout, host_settings

GIB = 1 << 30
CHUNK = 1 << 20


class Disk:
    """A server with a disk of 1 GiB, and its images."""

    def __init__(self, cloud: Cloud, server_id: str) -> None:
        self.cloud, self.server = cloud, f"{cloud.compute}/servers/{server_id}"
        self.images = cloud.settings.url("image", "/v2/images")
        layout = Layout.load(cloud.settings.state_dir) or Layout()
        self.file = host_settings(cloud.settings, layout, layout.hosts[0]).host_dir / "instances" / server_id / "disk"

    async def snapshot(self) -> float:
        """Seconds from the request until the image is active and the server rests. The server is asked, not the image:
        to answer costs Glance a seventh of what it does for the upload, which the bare one would not have beside it."""
        begun = time.monotonic()
        answer = await self.cloud.http.post(
            f"{self.server}/action", json={"createImage": {"name": "snapshot"}}, headers=self.cloud.headers
        )
        answer.raise_for_status()
        image = answer.json()["image_id"]
        while await self.busy():
            await asyncio.sleep(0.1)
        took = time.monotonic() - begun
        if (status := await self.status(image)) != "active":
            raise SystemExit(f"a snapshot is {status}")
        await self.drop(image)
        return took

    async def bare(self, scratch: Path) -> float:
        """Seconds of `qemu-img convert` and of the upload of what it wrote."""
        made = await self.cloud.http.post(
            self.images,
            json={"name": "bare", "disk_format": "qcow2", "container_format": "bare"},
            headers=self.cloud.headers,
        )
        image, copy = made.json()["id"], scratch / "copy.qcow2"
        begun = time.monotonic()
        convert = ["qemu-img", "convert", "-U", "-O", "qcow2", str(self.file), str(copy)]
        await asyncio.to_thread(subprocess.run, convert, check=True)
        headers = {**self.cloud.headers, "Content-Type": "application/octet-stream"}
        sent = await self.cloud.http.put(f"{self.images}/{image}/file", content=chunks(copy), headers=headers)
        sent.raise_for_status()
        took = time.monotonic() - begun
        copy.unlink()
        await self.drop(image)
        return took

    async def both(self, scratch: Path, *, bare_first: bool) -> tuple[float, float]:
        """(ours, bare); which of them is first changes from round to round, each when what was written before
        is on the disk. Else that was still being written beside whoever came next, most of it beside the first."""
        bare = await self.settled(self.bare(scratch)) if bare_first else 0.0
        return await self.settled(self.snapshot()), bare or await self.settled(self.bare(scratch))

    async def settled(self, measured: Awaitable[float]) -> float:
        await asyncio.to_thread(os.sync)
        return await measured

    async def steps(self) -> str:
        """Seconds of each step of the newest snapshot, as the event list has them."""
        path = f"{self.server}/os-instance-actions"
        listed = (await self.cloud.http.get(path, headers=self.cloud.headers)).json()["instanceActions"]
        newest = next(each for each in listed if each["action"] == "createImage")
        shown = await self.cloud.http.get(f"{path}/{newest['request_id']}", headers=self.cloud.headers)
        took = []
        for event in shown.json()["instanceAction"]["events"]:
            begun, ended = (datetime.fromisoformat(event[name]) for name in ("start_time", "finish_time"))
            took.append(f"{event['event']} {(ended - begun).total_seconds():.2f}")
        return ", ".join(took)

    async def status(self, image: str) -> str:
        answer = await self.cloud.http.get(f"{self.images}/{image}", headers=self.cloud.headers)
        return str(answer.json().get("status"))

    async def busy(self) -> bool:
        answer = await self.cloud.http.get(self.server, headers=self.cloud.headers)
        return answer.json()["server"]["OS-EXT-STS:task_state"] is not None

    async def drop(self, image: str) -> None:
        (await self.cloud.http.delete(f"{self.images}/{image}", headers=self.cloud.headers)).raise_for_status()

    async def stop(self) -> None:
        url = f"{self.server}/action"
        (await self.cloud.http.post(url, json={"os-stop": None}, headers=self.cloud.headers)).raise_for_status()
        while await self.busy():
            await asyncio.sleep(0.2)


async def chunks(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as data:
        while chunk := data.read(CHUNK):
            yield chunk


async def random_bytes() -> AsyncIterator[bytes]:
    for _ in range(GIB // CHUNK):
        yield os.urandom(CHUNK)


async def measure(cloud: Cloud, ready_s: float, fresh_mib: float, count: int) -> list[Row]:
    rounds = int(os.environ.get("BENCH_ROUNDS", "3"))
    await cloud.sign_in()
    await cloud.prepare(random_bytes(), disk_gb=1)
    server_id, _ = await cloud.post("of-one-gib")
    await cloud.active(server_id, 0.2)
    disk, rows = Disk(cloud, server_id), []
    with TemporaryDirectory(prefix="kilonova-bench-") as scratch:
        for state in ("running", "stopped"):
            if state == "stopped":
                await disk.stop()
            pairs = [await disk.both(Path(scratch), bare_first=bool(number % 2)) for number in range(rounds)]
            ratio = statistics.median(ours / bare for ours, bare in pairs)
            each = ", ".join(f"{ours:.1f}/{bare:.1f}" for ours, bare in pairs)
            rows.append((f"snapshot of 1 GiB, {state}", f"{ratio:.2f} x bare ({each} s)", "1.2 x"))
            rows.append((f"— its steps, the last time, {state}", await disk.steps(), ""))
    return [*rows, ("load average at the end", f"{os.getloadavg()[0]:.1f}", "")]


if __name__ == "__main__":
    main(measure, driver="qemu")
