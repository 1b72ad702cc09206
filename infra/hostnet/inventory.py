"""What exists of a host's network, read from the kernel, the processes and the files."""

import re

from infra.hostnet import dhcp, links, netns
from infra.hostnet.dhcp import Dnsmasq
from infra.hostnet.firewall import Firewall
from infra.hostnet.models import HostNetInventory
from infra.hostnet.store import Store
from infra.settings import Settings

TAP = re.compile(r"tap[0-9A-Za-z-]{11}")


def describe(settings: Settings, store: Store, firewall: Firewall) -> HostNetInventory:
    """Empty but for files and processes without the namespace."""
    own = {r.port.port_id: r.port.instance_id for r in store.own_ports()}
    others = [r.port for r in store.ports() if r.port.port_id not in own]
    foreign = {p.tap for p in others} | {p.port_id for p in others}
    inventory = HostNetInventory(ports=own, networks=dhcp.processes(store.run))
    servers = [Dnsmasq(store, d.name) for d in sorted(store.run.glob("dhcp/*"))]
    inventory.reservations = [p for server in servers for p in server.reservations() if p not in foreign]
    inventory.spaces = [name for name in netns.names() if name.startswith(store.space_prefixes)]
    if settings.netns and not netns.path(settings.netns).exists():
        return inventory
    found = links.snapshot(settings.netns)
    made = store.bridges()
    inventory.bridges = sorted(name for name, record in made.items() if record.made and name in found)
    near = made.keys() | set(settings.bridge_mappings.values())
    taps = {name for name, link in found.items() if TAP.fullmatch(name) and (settings.netns or link.master in near)}
    inventory.taps = sorted(taps - foreign)
    inventory.filters = sorted(set(firewall.taps()) - foreign)
    return inventory
