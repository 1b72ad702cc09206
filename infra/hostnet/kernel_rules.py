"""What the kernel has of our tables against what was wanted: each chain, rule, set and element too many or missing.

The kernel writes rules otherwise than we do. So what is wanted is loaded into a network namespace that nothing else is
in, and both are compared as nft lists them."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from infra.hostnet import netns
from infra.hostnet.models import Damage
from infra.hostnet.tables import Chain, Table

LOADED_ALONE = ["unshare", "--net", "sh", "-c", "nft -f - && exec nft -j -s list ruleset"]
NOBODY = 1_000_000
"""Indexes of interfaces from here on are those of none: nftables takes and lists them as numbers."""
Contents = dict[str, Counter[str]]
"""Name of a table, chain or set → how often it has each rule or element."""


def expected(tables: Sequence[Table]) -> Contents:
    """HostNetworkError when the kernel does not take them."""
    text = "".join(_anywhere(table).whole() for table in tables)
    indexes = {f'"{device}"': str(NOBODY + n) for n, device in enumerate(d for t in tables for d in t.devices)}
    for name, index in indexes.items():
        text = text.replace(name, index)
    listing = netns.run("", LOADED_ALONE, text)
    for name, index in indexes.items():
        listing = listing.replace(f'"{index}"', name)
    return _contents(listing, tables)


def listed(namespace: str) -> str:
    return netns.run(namespace, ["nft", "-j", "-s", "list", "ruleset"])


def compare(wanted: Contents, listing: str, tables: Sequence[Table]) -> list[Damage]:
    """Sorted. Of a table that is missing, nothing else is named. `listing`: see `listed`."""
    found = _contents(listing, tables)
    lost = {name for name in wanted.keys() - found.keys() if " " not in name.removeprefix("table ")}
    return sorted({*_parts(wanted, found, "missing", lost), *_parts(found, wanted, "too many", set())})


def _parts(some: Contents, others: Contents, problem: Any, lost: set[str]) -> Iterator[Damage]:
    for name, elements in some.items():
        if name in lost:
            yield Damage(part=name, problem=problem)
        elif not any(name.startswith(f"{table} ") for table in lost):
            if name not in others:
                yield Damage(part=name, problem=problem)
            for element in elements - others.get(name, elements):
                yield Damage(part=f"{name}: {element}", problem=problem)


def _anywhere(table: Table) -> Table:
    """A chain of the family netdev hangs on interfaces that exist: its rules alone can be loaded elsewhere."""
    if table.family != "netdev":
        return table
    return replace(table, chains={name: Chain(chain.rules) for name, chain in table.chains.items()})


def _contents(listing: str, tables: Iterable[Table]) -> Contents:
    ours = {(table.family, table.name) for table in tables}
    found: Contents = {}
    for entry in json.loads(listing)["nftables"]:
        ((kind, body),) = entry.items()
        if kind == "table" and (body["family"], body["name"]) in ours:
            found.setdefault(f"table {body['family']}", Counter())
        elif (body.get("family"), body.get("table")) in ours:
            table = f"table {body['family']}"
            name = body["chain"] if kind == "rule" else body["name"]
            part = found.setdefault(f"{table} {'chain' if kind == 'rule' else kind} {name}", Counter())
            elements = () if "timeout" in body else body.get("elem", ())  # packets add those
            part.update([_plain(body["expr"])] if kind == "rule" else map(_plain, elements))
            if kind == "chain" and "policy" in body and body["family"] != "netdev":
                part[f"policy {body['policy']}"] += 1
    return found


def _plain(expression: Any) -> str:
    return expression if isinstance(expression, str) else json.dumps(expression, sort_keys=True)
