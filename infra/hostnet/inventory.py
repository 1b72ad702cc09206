"""What exists of a host's network, read from the kernel, the processes and the files."""

import re

from infra.hostnet import dhcp, links, netns, spaces, tunnels
from infra.hostnet.dhcp import Dnsmasq
from infra.hostnet.firewall import Firewall
from infra.hostnet.models import HostNetInventory, SpaceFacts
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.store import Store
from infra.settings import Settings

TAP = re.compile(r"tap[0-9A-Za-z-]{11}")


def describe(settings: Settings, store: Store, firewall: Firewall, served: dict[str, list[str]]) -> HostNetInventory:
    """Empty but for files and processes without the namespace. `served`: network id → ports that DHCP answers here."""
    own = {r.port.port_id: r.port.instance_id for r in store.own_ports()}
    others = [r.port for r in store.ports() if r.port.port_id not in own]
    foreign = {p.tap for p in others} | {p.port_id for p in others}
    inventory = HostNetInventory(ports=own, networks=dhcp.processes(store.run))
    servers = [Dnsmasq(store, d.name) for d in sorted(store.run.glob("dhcp/*"))]
    inventory.reservations = [p for server in servers for p in server.reservations() if p not in foreign]
    inventory.served = {network: [p for p in ports if p not in foreign] for network, ports in served.items()}
    inventory.spaces = _spaces(store)
    if settings.netns and not netns.path(settings.netns).exists():
        return inventory
    found = links.snapshot(settings.netns)
    made = store.bridges()
    inventory.bridges = sorted(name for name, record in made.items() if record.made and name in found)
    near = made.keys() | set(settings.bridge_mappings.values())
    taps = {name for name, link in found.items() if TAP.fullmatch(name) and (settings.netns or link.master in near)}
    inventory.taps = sorted(taps - foreign)
    names = [name for name, link in found.items() if link.kind == "vxlan" and link.master in made]
    inventory.tunnels = {found[n].vni: sorted(tunnels.flooded(settings.netns, n)) for n in names}
    inventory.filters = sorted(set(firewall.taps()) - foreign)
    return inventory


def _spaces(store: Store) -> dict[str, SpaceFacts]:
    prefixes = dict(zip(("net", "router"), store.space_prefixes, strict=True))
    return {
        f"{kind}/{name.removeprefix(prefix)}": _facts(name)
        for kind, prefix in prefixes.items()
        for name in netns.names()
        if name.startswith(prefix)
    }


def _facts(name: str) -> SpaceFacts:
    try:
        inside, _ = spaces.observe(name)
        tables = netns.run(name, ["nft", "list", "tables"])
    except HostNetworkError:  # it went away meanwhile
        return SpaceFacts()
    ours = [link for link in inside.values() if link.name.startswith((spaces.INSIDE, "qr-", "qg-"))]
    addresses = {address.partition("/")[0] for link in ours for address in link.addresses}
    return SpaceFacts(addresses=sorted(addresses), rules="kilonova" in tables)
