"""Entries of forwarding tables that somebody put there: what bridges and tunnels learn from frames is nobody's word.

Source: bridge(8)."""

import json
import socket
from typing import Any, NamedTuple

from infra.hostnet import netns
from infra.hostnet.links import Link

LASTING = ("permanent", "noarp", "static")
"""States of entries that do not age."""
MORE = {"port": "port", "vni": "vni", "viaIf": "via"}
"""What an entry of a tunnel says beside the host, where it is not the tunnel's own."""


class Misled(NamedTuple):
    """A bridge's entry that sends frames for `mac` to `device` for ever."""

    bridge: str
    mac: str
    device: str


def _lasts(entry: dict[str, Any]) -> bool:
    return entry.get("state") in LASTING or "extern_learn" in entry.get("flags", ())


def _host(entry: dict[str, Any]) -> str:
    return " ".join([entry["dst"], *(f"{word} {entry[key]}" for key, word in MORE.items() if key in entry)])


def of_tunnel(namespace: str, name: str) -> set[tuple[str, str]]:
    """(MAC address, host) of every entry that the device did not learn, the host with its port where that is another
    one; none when the device does not exist."""
    if name not in netns.call(namespace, _devices):
        return set()
    shown = json.loads(netns.run(namespace, ["bridge", "-j", "fdb", "show", "dev", name]) or "[]")
    return {(entry["mac"], _host(entry)) for entry in shown if "dst" in entry and _lasts(entry)}


def of_bridges(namespace: str, bridges: set[str], found: dict[str, Link]) -> list[Misled]:
    """Of these bridges; those of interfaces' own addresses are the kernel's."""
    if not bridges & found.keys():
        return []
    own = {link.mac for link in found.values()}
    shown = json.loads(netns.run(namespace, ["bridge", "-j", "fdb", "show"]) or "[]")
    masters = [entry for entry in shown if entry.get("master") in bridges and entry["mac"] not in own]
    return sorted({Misled(entry["master"], entry["mac"], entry["ifname"]) for entry in masters if _lasts(entry)})


def _devices() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def remove(namespace: str, misled: list[Misled]) -> None:
    lines = "".join(f"fdb delete {entry.mac} dev {entry.device} master\n" for entry in misled)
    if lines:
        netns.run(namespace, ["bridge", "-force", "-batch", "-"], lines)
