"""What users see as a server's status, from the states in its record (Nova's table of vm and task states)."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from workflows import states

DEFAULT = ""
STATES = states.shown()

WITH_PROGRESS = frozenset(("ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"))
WITH_FAULT = frozenset(("ERROR", "DELETED"))


def status(vm_state: str, task_state: str | None) -> str:
    by_task = STATES.get(vm_state)
    if by_task is None:
        return "UNKNOWN"
    return by_task.get(task_state or DEFAULT) or by_task[DEFAULT]


def states_of(wanted: Iterable[str]) -> tuple[set[str], set[str]]:
    """vm_states and task_states in which one of the statuses is shown; DEFAULT among the latter means any."""
    names = {name.upper() for name in wanted}
    vm_states, task_states = set(), set()
    for vm_state, by_task in STATES.items():
        for task_state, name in by_task.items():
            if name in names:
                vm_states.add(vm_state)
                task_states.add(task_state)
    return vm_states, task_states


def host_id(host: str | None, project_id: str) -> str:
    """The host's name as tenants may see it: equal for servers of one project on one host, else meaningless."""
    return hashlib.sha224((project_id + host).encode()).hexdigest() if host else ""


def second(moment: datetime | None) -> str | None:
    """`2026-01-31T12:00:00Z`"""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def micro(moment: datetime | str | None) -> str | None:
    """`2026-01-31T12:00:00.000000`, the older form of times in this API."""
    if moment is None or isinstance(moment, str):
        return moment
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds")


Floating = Callable[[str, str], list[str]]
"""(port id, one of its addresses) → the floating ones that lead there."""


def addresses(
    row: RowMapping, floating: Floating, *, extended: bool, ports: Mapping[str, list[str]] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Network name → addresses, each with its floating ones after it; hidden while the server is building. `ports`:
    what the network service says that its ports have; one that it does not name is gone."""
    shown: dict[str, list[dict[str, Any]]] = {}
    if row["vm_state"] == "building":
        return shown
    for port in row["networks"] or ():
        if ports is not None and port["port_id"] not in ports:
            continue
        of_network = shown.setdefault(port["label"], [])
        for fixed in _now(port, ports):
            for number, text in enumerate((fixed, *floating(port.get("port_id") or "", fixed))):
                entry: dict[str, Any] = {"version": 6 if ":" in text else 4, "addr": text}
                if extended:
                    entry["OS-EXT-IPS:type"] = "floating" if number else "fixed"
                    entry["OS-EXT-IPS-MAC:mac_addr"] = port["mac"]
                of_network.append(entry)
    return shown


def _now(port: Mapping[str, Any], ports: Mapping[str, list[str]] | None) -> list[str]:
    """A port's addresses; those that its record knows first, and in their order."""
    known = [ip["ip_address"] if isinstance(ip, dict) else ip for ip in port.get("fixed_ips") or ()]
    if ports is None:
        return known
    has = ports[port["port_id"]]
    return [*(ip for ip in known if ip in has), *(ip for ip in has if ip not in known)]
