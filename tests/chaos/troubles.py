"""What befalls a cloud in a storm, beside deaths of processes: neighbours that are slow or away, and a full disk."""

import asyncio
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.cloud import Cloud

NEIGHBOURS = ("keystone", "glance", "api-services", "postgresql")  # api-services: network and volume
DISK_GIB = 4
Trouble = Callable[[Cloud, random.Random, float, Counter[str]], Awaitable[None]]


async def slow(cloud: Cloud, dice: random.Random, seconds: float, counts: Counter[str]) -> None:
    """A neighbour that runs for a tenth of a second and then stands still for one to three."""
    name = _neighbour(cloud, dice)
    counts[f"slow {name}"] += 1
    end = time.monotonic() + seconds / 2
    while time.monotonic() < end:
        await _still(cloud, name, 1 + 2 * dice.random())
        await asyncio.sleep(0.1)


async def absent(cloud: Cloud, dice: random.Random, seconds: float, counts: Counter[str]) -> None:
    """A neighbour that takes connections and never answers, or one that refuses them: killed as often as it starts."""
    name, hangs = _neighbour(cloud, dice), dice.random() < 0.5
    counts[f"{'hanging' if hangs else 'refusing'} {name}"] += 1
    if hangs:
        await _still(cloud, name, seconds)
        return
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        cloud.kill(name)
        await asyncio.sleep(0.2)


async def full_disk(cloud: Cloud, dice: random.Random, seconds: float, counts: Counter[str]) -> None:
    """Every byte that is free, and what becomes free meanwhile, is taken by a file that nobody of the cloud knows."""
    counts["full disk"] += 1
    filler = cloud.state_dir / "filler"
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            await asyncio.to_thread(fill, filler)
            await asyncio.sleep(2)
    finally:
        filler.unlink(missing_ok=True)


TROUBLES: dict[str, Trouble] = {"slow": slow, "absent": absent, "full-disk": full_disk}


async def befall(cloud: Cloud, dice: random.Random, end: float, kinds: list[str], counts: Counter[str]) -> None:
    """One trouble after the other, 20 to 40 s each, with a pause of 2 to 7 s; counts how many of each there were."""
    while time.monotonic() < end:
        await asyncio.sleep(2 + 5 * dice.random())
        await TROUBLES[dice.choice(kinds)](cloud, dice, 20 + 20 * dice.random(), counts)


def fill(file: Path) -> None:
    """Append until not a byte is left."""
    with file.open("ab", buffering=0) as out:
        held, size = os.fstat(out.fileno()).st_size, 1 << 30
        while size >= 4096:
            try:
                os.posix_fallocate(out.fileno(), held, size)
                held += size
            except OSError:
                size //= 2


@contextmanager
def small_disk(folder: Path, gib: int = DISK_GIB) -> Iterator[None]:
    """`folder` is a file system of its own, no block of which is kept for root."""
    image = folder.with_suffix(".ext4")
    subprocess.run(["truncate", "-s", f"{gib}G", image], check=True)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, folder], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)  # a dying process may still have a file open
    finally:
        image.unlink()


def _neighbour(cloud: Cloud, dice: random.Random) -> str:
    return dice.choice([name for name in NEIGHBOURS if name != "postgresql" or cloud.database])


async def _still(cloud: Cloud, name: str, seconds: float) -> None:
    """The process, whoever it is by now, does nothing for so long."""
    pid = cloud.pids().get(name)
    try:
        if pid:
            os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
    except ProcessLookupError:
        return
    finally:
        if pid and Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGCONT)
