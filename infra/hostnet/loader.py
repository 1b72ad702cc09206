"""Loads nftables text into a namespace, only when that very namespace has not had it already."""

import hashlib
from pathlib import Path

from infra.hostnet import netns
from infra.hostnet.store import write_atomic


def load(namespace: str, marker: Path, text: str, extra: str = "") -> bool:
    """Load `text` in one transaction; whether it had to be. `marker` remembers `text` and `extra`."""
    key = key_of(namespace, f"{extra}{text}")
    if marker.exists() and marker.read_text() == key:
        return False
    netns.run(namespace, ["nft", "-f", "-"], text)
    write_atomic(marker, key)
    return True


def key_of(namespace: str, text: str) -> str:
    """Of `text` in this namespace of this boot."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {netns.identity(namespace)} {hashlib.sha256(text.encode()).hexdigest()}"
