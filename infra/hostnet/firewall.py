"""The host's rules as the port and filter files want them: loaded, guarded, repaired and removed."""

import json
from functools import cached_property

from infra import logs
from infra.hostnet import kernel_rules, links, netns
from infra.hostnet.flows import Flows, unable
from infra.hostnet.guests import Guest, GuestBridge
from infra.hostnet.links import Link
from infra.hostnet.loader import Loader
from infra.hostnet.models import Damage
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.ruleset import bridge_table, guard, inet_table
from infra.hostnet.shortcuts import Domain, Shortcuts, ShortWays
from infra.hostnet.store import BridgeRecord, PlugRecord, Store
from infra.hostnet.tables import Table

log = logs.get("hostnet")
FAMILIES = ("bridge", "inet", "netdev")


class Firewall:
    """Our tables `kilonova_…` of the families bridge, inet and netdev in the namespace of `store`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._table = f"kilonova_{store.tag}"
        self._rules = Loader(store.netns, store.run / "filters.loaded")
        self._guard = Loader(store.netns, store.run / "guard.loaded")
        self._flows = Flows(store.netns, store.tag)
        self._spare = Shortcuts(
            store.netns, f"{self._table}_flows", Loader(store.netns, store.run / "shortcuts.loaded")
        )
        self._alone = False
        self._found: dict[str, Link] = {}

    @cached_property
    def _programs(self) -> bool:
        """Whether short ways are programs: to find out takes a fifth of a second, once in a process."""
        return self._store.short_ways == "programs" and not unable()

    @cached_property
    def _shortcuts(self) -> ShortWays:
        return self._flows if self._programs else self._spare

    def _bridges(self, records: list[PlugRecord]) -> list[GuestBridge]:
        known, none = self._store.bridges(), BridgeRecord()
        found = {name: known.get(name, none) for name in sorted({r.bridge for r in records})}
        return [GuestBridge(name, record.zone, foreign=not record.made) for name, record in found.items()]

    def _guests(self, records: list[PlugRecord]) -> list[Guest]:
        known = self._store.filters()
        return [Guest(r.port, known.get(r.port.port_id)) for r in records]

    def guests(self) -> list[Guest]:
        """Every port plugged into the namespace, with what is known of it."""
        return self._guests(self._store.ports())

    def _tables(self) -> list[Table]:
        """The wanted tables; none where no port is plugged into the machine's own network."""
        records = self._store.ports()
        if not records and not self._store.netns:
            return []
        own, members, bridges = bool(self._store.netns), self._store.sets(), self._bridges(records)
        foreign = {b.name for b in bridges if b.foreign}
        silent = self._guests([r for r in records if r.bridge not in foreign])
        bridge = bridge_table(self._table, self._guests(records), members, silent, own_namespace=own)
        return [bridge, inet_table(self._table, bridges, tunnelled=self._store.tunnelled, vouched=self._programs)]

    def converge(self) -> bool:
        """Bring the kernel's rules in line with the port and filter files; whether anything had to be loaded.

        Whoever holds the lock loads for all who wait for it: they then find nothing left to do.
        """
        with self._store.lock("filters"):
            return self._converge(self._tables())

    def _converge(self, tables: list[Table]) -> bool:
        if tables:
            changed = self._rules.load(tables)
            if changed:  # after the rules: nothing that they stop is let through once more
                self._shortcuts.renew(self._domains())
            return changed
        if not self._rules.loaded():
            return False
        self._remove()
        return True

    def _domains(self) -> list[Domain]:
        """Bridges that we made, with their ports and tunnels as far as these were seen."""
        bridges, records = self._store.bridges(), self._store.ports()
        tunnels = {link.master: link.name for link in self._found.values() if link.kind == "vxlan"}
        made = [name for name in sorted({r.bridge for r in records}) if name in bridges and bridges[name].made]
        guests = {name: self._guests([r for r in records if r.bridge == name]) for name in made}
        return [Domain(name, guests[name], tunnels.get(name, ""), bridges[name].zone) for name in made]

    def shorten(self, found: dict[str, Link]) -> bool:
        """Short ways between the devices that exist; whether anything had to be loaded."""
        with self._store.lock("filters"):
            self._found = found
            if not self._alone:  # the other kind may be left from a time when the kernel or the setting was another
                (self._spare if self._programs else self._flows).remove()
                self._alone = True
            return self._shortcuts.converge(self._domains(), _by_name(found))

    def forget(self) -> None:
        """The namespace is another one now: nothing is loaded, even if its identity is that of the last one."""
        self._rules.forget()
        self._guard.forget()
        self._shortcuts.forget()

    def repair(self) -> bool:
        """Load the rules again if somebody else changed them."""
        with self._store.lock("filters"):
            tables = self._tables()
            if self._damage(tables):
                self.forget()
            return self._converge(tables)

    def damage(self) -> list[Damage]:
        """What somebody else changed of our tables. That of taps says nothing until it knows all taps."""
        with self._store.lock("filters"):
            return self._damage(self._tables())

    def _damage(self, tables: list[Table]) -> list[Damage]:
        if not tables or not (self._rules.loaded() or self._store.ports()):
            return []
        listing = kernel_rules.listed(self._store.netns)
        found = self._rules.damage(tables, listing)
        present = links.snapshot(self._store.netns)
        guests = self._guarded(present)
        table = guard(self._table, [guest for guest, _ in guests])
        if table and self._guard.has([table], _indexes(guests)):
            found += self._guard.damage([table], listing)
        return found + self._shortcuts.damage(self._domains(), _by_name(present), listing)

    def _guarded(self, found: dict[str, Link]) -> list[tuple[Guest, int]]:
        """Guests on bridges that we did not make, whose taps exist, with the taps' indexes."""
        bridges = self._store.bridges()
        guests = self._guests([r for r in self._store.ports() if r.bridge in bridges and not bridges[r.bridge].made])
        return [(guest, found[guest.plug.tap].index) for guest in guests if guest.plug.tap in found]

    def guard(self, found: dict[str, Link]) -> bool:
        """Check sources at the taps that exist, too; whether anything had to be loaded."""
        with self._store.lock("filters"):
            guests = self._guarded(found)
            table = guard(self._table, [guest for guest, _ in guests])
            try:
                if table:
                    return self._guard.load([table], _indexes(guests))
                if self._guard.loaded():
                    netns.run(self._store.netns, ["nft", "-f", "-"], self._without("netdev"))
                    self._guard.forget()
            except HostNetworkError as error:  # a tap went away meanwhile: the next call sees it
                log.info("taps are not guarded yet", reason=str(error))
            return False

    def _present(self) -> set[str]:
        listed = json.loads(netns.run(self._store.netns, ["nft", "-j", "list", "tables"]))["nftables"]
        return {entry["table"]["family"] for entry in listed if entry.get("table", {}).get("name") == self._table}

    def _without(self, *families: str) -> str:
        return "".join(f"table {f} {self._table}\ndelete table {f} {self._table}\n" for f in families)

    def _remove(self) -> None:
        netns.run(self._store.netns, ["nft", "-f", "-"], self._without(*FAMILIES))
        self._rules.forget()
        self._guard.forget()
        self._shortcuts.remove()

    def remove(self) -> None:
        with self._store.lock("filters"):
            self._remove()

    def taps(self) -> list[str]:
        """Names of the interfaces that the kernel's rules know."""
        if "bridge" not in self._present():
            return []
        command = ["nft", "-j", "list", "set", "bridge", self._table, "taps"]
        listed = json.loads(netns.run(self._store.netns, command))["nftables"]
        return sorted(name for entry in listed for name in entry.get("set", {}).get("elem", []))


def _by_name(found: dict[str, Link]) -> dict[str, int]:
    return {name: link.index for name, link in found.items()}


def _indexes(guests: list[tuple[Guest, int]]) -> str:
    return " ".join(f"{guest.plug.tap}={index}" for guest, index in guests)
