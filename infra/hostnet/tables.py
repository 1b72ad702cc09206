"""nftables tables as data: the text that makes one, and the text that turns one into another, each one transaction.

Source: nft(8). A change names only what differs, so that a new member of a group costs one element of one set."""

from collections.abc import Iterable
from dataclasses import dataclass, field

LARGEST = 65536
"""Elements that packets may add to one set."""


@dataclass(frozen=True)
class Set:
    """A set or, with `maps`, a map whose elements are 'KEY : VALUE'. Interval sets are replaced whole. With `timeout_s`
    packets add its elements, which last so many seconds."""

    type: str
    elements: frozenset[str] = frozenset()
    interval: bool = False
    maps: bool = False
    timeout_s: int = 0

    @property
    def kind(self) -> str:
        return "map" if self.maps else "set"

    @property
    def declaration(self) -> str:
        kind = self.type if self.type.startswith("typeof ") else f"type {self.type}"
        filled = f" flags dynamic,timeout; timeout {self.timeout_s}s; size {LARGEST};" if self.timeout_s else ""
        return f"{kind};{' flags interval;' if self.interval else ''}{filled}"


@dataclass(frozen=True)
class Chain:
    """`hook`: the line that makes a base chain, '' for others."""

    rules: tuple[str, ...]
    hook: str = ""


@dataclass
class Table:
    """`devices`: interfaces that its rules name."""

    family: str
    name: str
    sets: dict[str, Set] = field(default_factory=dict)
    chains: dict[str, Chain] = field(default_factory=dict)
    devices: tuple[str, ...] = ()

    def whole(self) -> str:
        """Replaces whatever the kernel has under this name."""
        where = f"{self.family} {self.name}"
        lines = [f"table {where}", f"delete table {where}", f"table {where} {{"]
        for name, one in self.sets.items():
            if not one.maps:
                lines.append(f"  set {name} {{ {one.declaration}{_listed(one.elements)} }}")
        lines += [line for name, chain in self.chains.items() for line in _chain(name, chain)]
        for name, one in self.sets.items():
            if one.maps:
                lines.append(f"  map {name} {{ {one.declaration}{_listed(one.elements)} }}")
        return "\n".join([*lines, "}\n"])


def _listed(elements: Iterable[str]) -> str:
    listed = ", ".join(sorted(elements))
    return f" elements = {{ {listed} }}" if listed else ""


def _chain(name: str, chain: Chain) -> list[str]:
    hook = [f"    {chain.hook}"] if chain.hook else []
    return [f"  chain {name} {{", *hook, *(f"    {rule}" for rule in chain.rules), "  }"]


def chains(text: str) -> dict[str, Chain]:
    """Chains from text as `Table.whole` writes it."""
    found: dict[str, Chain] = {}
    name, lines = "", list[str]()
    for line in map(str.strip, text.strip().splitlines()):
        if line.startswith("chain "):
            name, lines = line.split()[1], []
        elif line == "}":
            hook = lines[0] if lines and lines[0].startswith("type ") else ""
            found[name] = Chain(tuple(lines[1:] if hook else lines), hook)
        elif line:
            lines.append(line)
    return found


def changes(old: Table, new: Table) -> str | None:
    """The text that makes `new` of `old`; '' when they are equal, None when only `new.whole()` can."""
    if not _fits(old, new):
        return None
    where = f"{new.family} {new.name}"
    fresh = [n for n in new.chains if n not in old.chains]
    changed = [n for n, chain in new.chains.items() if n in old.chains and old.chains[n] != chain]
    gone = [n for n in old.chains if n not in new.chains]
    lines = [f"add {s.kind} {where} {n} {{ {s.declaration} }}" for n, s in new.sets.items() if n not in old.sets]
    lines += [f"add chain {where} {n}" for n in fresh]
    lines += [f"flush chain {where} {n}" for n in [*changed, *gone]]
    # A set without an interval flag gains and loses elements singly; maps let go of chains before these are deleted.
    for name, one in new.sets.items():
        lines += _elements(where, name, old.sets.get(name) or Set(one.type, interval=one.interval, maps=one.maps), one)
    lines += [f"add rule {where} {n} {rule}" for n in [*fresh, *changed] for rule in new.chains[n].rules]
    lines += [f"flush {s.kind} {where} {n}" for n, s in old.sets.items() if n not in new.sets and s.maps]
    lines += [f"delete chain {where} {n}" for n in gone]
    lines += [f"delete {s.kind} {where} {n}" for n, s in old.sets.items() if n not in new.sets]
    return "".join(f"{line}\n" for line in lines)


def _fits(old: Table, new: Table) -> bool:
    """Whether what both have is of the same make."""
    both = old.sets.keys() & new.sets.keys()
    makes = [(old.sets[n].declaration, old.sets[n].maps) == (new.sets[n].declaration, new.sets[n].maps) for n in both]
    hooks = [{n: chain.hook for n, chain in table.chains.items() if chain.hook} for table in (old, new)]
    return all(makes) and hooks[0] == hooks[1]


def _elements(where: str, name: str, old: Set, new: Set) -> list[str]:
    lost, won = old.elements - new.elements, new.elements - old.elements
    if not lost and not won:
        return []
    if new.interval and lost:
        lost, won = frozenset(), new.elements
        lines = [f"flush {new.kind} {where} {name}"]
    else:
        lines = []
    if lost:
        keys = sorted(element.partition(" : ")[0] for element in lost)
        lines.append(f"delete element {where} {name} {{ {', '.join(keys)} }}")
    if won:
        lines.append(f"add element {where} {name} {{ {', '.join(sorted(won))} }}")
    return lines
