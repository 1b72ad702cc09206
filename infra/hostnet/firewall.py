"""Loads the host's rules in one transaction, only when they differ from what this kernel already has."""

import json

from infra import logs
from infra.hostnet import netns
from infra.hostnet.links import Link
from infra.hostnet.loader import load
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.ruleset import Guest, GuestBridge, render, render_guard
from infra.hostnet.store import PlugRecord, Store

log = logs.get("hostnet")
FAMILIES = ("bridge", "inet", "netdev")


class Firewall:
    """Our tables `kilonova_…` of the families bridge, inet and netdev in the namespace of `store`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._table = f"kilonova_{store.tag}"
        self._marker = store.run / "filters.loaded"
        self._guard_marker = store.run / "guard.loaded"
        self._rendered: tuple[list[object], str] = ([], "")

    def _bridges(self, records: list[PlugRecord]) -> list[GuestBridge]:
        zones = {name: record.zone for name, record in self._store.bridges().items()}
        return [GuestBridge(name, zones.get(name, 0)) for name in sorted({r.bridge for r in records})]

    def _guests(self, records: list[PlugRecord]) -> list[Guest]:
        known = self._store.filters()
        return [Guest(r.port, known.get(r.port.port_id)) for r in records]

    def _text(self) -> str:
        """The wanted tables; rendered only when a file was read anew since the last time."""
        records = self._store.ports()
        if not records and not self._store.netns:
            return self._without()
        guests = self._guests(records)
        bridges = self._bridges(records)
        inputs: list[object] = [*(part for g in guests for part in (g.plug, g.known)), *bridges]
        before, text = self._rendered
        if len(before) != len(inputs) or not all(a is b or a == b for a, b in zip(before, inputs, strict=True)):
            text = render(self._table, guests, bridges, own_namespace=bool(self._store.netns))
            self._rendered = (inputs, text)
        return text

    def converge(self) -> bool:
        """Bring the kernel's rules in line with the port and filter files; whether anything had to be loaded.

        Whoever holds the lock loads for all who wait for it: they then find nothing left to do.
        """
        with self._store.lock("filters"):
            return load(self._store.netns, self._marker, self._text())

    def repair(self) -> bool:
        """Load the rules again if somebody else removed our tables."""
        if not self._tables() >= {"bridge", "inet"} and (self._store.netns or self._store.ports()):
            self._marker.unlink(missing_ok=True)
            self._guard_marker.unlink(missing_ok=True)
        return self.converge()

    def guard(self, found: dict[str, Link]) -> bool:
        """Check sources at the taps that exist, too; whether anything had to be loaded."""
        with self._store.lock("filters"):
            guests = [g for g in self._guests(self._store.ports()) if g.plug.tap in found]
            indexes = " ".join(f"{g.plug.tap}={found[g.plug.tap].index}" for g in guests)
            if not guests and not self._guard_marker.exists():
                return False
            try:
                return load(self._store.netns, self._guard_marker, render_guard(self._table, guests), indexes)
            except HostNetworkError as error:  # a tap went away meanwhile: the next call sees it
                log.info("taps are not guarded yet", reason=str(error))
                return False

    def _tables(self) -> set[str]:
        listed = json.loads(netns.run(self._store.netns, ["nft", "-j", "list", "tables"]))["nftables"]
        return {entry["table"]["family"] for entry in listed if entry.get("table", {}).get("name") == self._table}

    def _without(self) -> str:
        return "".join(f"table {f} {self._table}\ndelete table {f} {self._table}\n" for f in FAMILIES)

    def remove(self) -> None:
        with self._store.lock("filters"):
            netns.run(self._store.netns, ["nft", "-f", "-"], self._without())
            self._marker.unlink(missing_ok=True)
            self._guard_marker.unlink(missing_ok=True)

    def taps(self) -> list[str]:
        """Names of the interfaces that the kernel's rules know."""
        if "bridge" not in self._tables():
            return []
        command = ["nft", "-j", "list", "set", "bridge", self._table, "taps"]
        listed = json.loads(netns.run(self._store.netns, command))["nftables"]
        return sorted(name for entry in listed for name in entry.get("set", {}).get("elem", []))
