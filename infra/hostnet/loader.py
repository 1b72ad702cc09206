"""Brings nftables of a namespace in line with what is wanted: by the difference where it is known, else whole."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from infra import logs
from infra.hostnet import kernel_rules, netns
from infra.hostnet.kernel_rules import Contents
from infra.hostnet.models import Damage
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.store import write_atomic
from infra.hostnet.tables import Table, changes

log = logs.get("hostnet")


class Loader:
    """Our tables in one namespace. `marker`: a file that remembers what this very namespace has; several processes may
    share it, and whoever finds there what another one loaded replaces the tables whole."""

    def __init__(self, namespace: str, marker: Path) -> None:
        self._namespace, self._marker = namespace, marker
        self._key = ""
        self._tables: list[Table] = []
        self._expected: tuple[str, Contents] = ("", {})
        self._right = "", ""  # tables as text, and how the kernel lists them

    def load(self, tables: Sequence[Table], extra: str = "") -> bool:
        """One transaction; whether it was needed. `extra`: what else the tables depend on (interface indexes)."""
        whole = "".join(table.whole() for table in tables)
        key = _key(self._namespace, extra + whole)
        known = self._marker.read_text() if self._marker.exists() else ""
        if known == key:
            return False
        self._apply(self._difference(tables) if known and known == self._key else None, whole)
        self._key, self._tables = key, list(tables)
        write_atomic(self._marker, key)
        return True

    def _difference(self, tables: Sequence[Table]) -> str | None:
        names = [(table.family, table.name) for table in tables]
        if names != [(table.family, table.name) for table in self._tables]:
            return None
        parts = [changes(old, new) for old, new in zip(self._tables, tables, strict=True)]
        return None if None in parts else "".join(part for part in parts if part)

    def _apply(self, difference: str | None, whole: str) -> None:
        if difference is not None:
            try:
                netns.run(self._namespace, ["nft", "-f", "-"], difference)
                return
            except HostNetworkError as error:  # somebody changed our tables
                log.warning("rules are replaced whole", reason=str(error))
        netns.run(self._namespace, ["nft", "-f", "-"], whole)

    def has(self, tables: Sequence[Table], extra: str = "") -> bool:
        """Whether these were loaded last, whatever became of them."""
        whole = "".join(table.whole() for table in tables)
        return self.loaded() and self._marker.read_text() == _key(self._namespace, extra + whole)

    def damage(self, tables: Sequence[Table], listing: str = "") -> list[Damage]:
        """What the kernel has otherwise than `tables`. Costs one listing unless the caller has one
        (`kernel_rules.listed`), and a trial load when the tables are new."""
        whole = "".join(table.whole() for table in tables)
        if self._expected[0] != whole:
            self._expected = whole, kernel_rules.expected(tables)
        listing = listing or kernel_rules.listed(self._namespace)
        if self._right == (whole, listing):
            return []
        damage = kernel_rules.compare(self._expected[1], listing, tables)
        self._right = (whole, listing) if not damage else ("", "")
        return damage

    def loaded(self) -> bool:
        """Whether anything was ever loaded."""
        return self._marker.exists()

    def forget(self) -> None:
        """What is loaded is not known any more: the next call loads everything."""
        self._marker.unlink(missing_ok=True)
        self._key = ""


def _key(namespace: str, text: str) -> str:
    """Of `text` in this namespace of this boot."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {netns.identity(namespace)} {hashlib.sha256(text.encode()).hexdigest()}"
