"""What exists of a host's network, read from the kernel, the processes and the files."""

import re
from collections.abc import Mapping

from infra.hostnet import dhcp, entries, links, netns, spaces, tunnels
from infra.hostnet.dhcp import Dnsmasq
from infra.hostnet.firewall import Firewall
from infra.hostnet.links import Link
from infra.hostnet.models import Damage, HostNetInventory, SpaceFacts, digest
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.store import Store
from infra.hostnet.trunks import Trunks
from infra.settings import Settings

PLACES = {"dhcp": "net/{}", "ra": "router/{}"}
"""What a dnsmasq of each kind serves."""
TAP = re.compile(r"tap[0-9A-Za-z-]{11}")


def describe(
    settings: Settings,
    store: Store,
    firewall: Firewall,
    served: dict[str, list[str]],
    damage: Mapping[str, list[Damage]],
) -> HostNetInventory:
    """Empty but for files and processes without the namespace. `served`: network id → ports that DHCP answers here.
    `damage`: 'net/<id>' or 'router/<id>' → what of its rules somebody changed."""
    own = {r.port.port_id: r.port.instance_id for r in store.own_ports()}
    others = [r.port for r in store.ports() if r.port.port_id not in own]
    foreign = {p.tap for p in others} | {p.port_id for p in others}
    serving, doubled = dhcp.running(store.run)
    inventory = HostNetInventory(ports=own, networks={i: pid for (kind, i), pid in serving.items() if kind == "dhcp"})
    inventory.advertisers = {i: pid for (kind, i), pid in serving.items() if kind == "ra"}
    inventory.doubled = sorted(PLACES[kind].format(i) for kind, i in doubled)
    servers = [Dnsmasq(store, d.name) for d in sorted(store.run.glob("dhcp/*"))]
    inventory.reservations = [p for server in servers for p in server.reservations() if p not in foreign]
    inventory.served = {network: [p for p in ports if p not in foreign] for network, ports in served.items()}
    inventory.spaces = _spaces(store, damage)
    inventory.others = sorted(store.others())
    inventory.told = _told(store, set(own))
    inventory.tunnelled, inventory.gateways = bool(settings.tunnel_ip), settings.lab_gateway
    if not netns.is_there(settings.netns):
        return inventory
    found = links.snapshot(settings.netns)
    made = store.bridges()
    inventory.bridges = sorted(name for name, record in made.items() if record.made and name in found)
    misled = entries.of_bridges(settings.netns, set(inventory.bridges), found)
    inventory.misled = [" ".join(entry) for entry in misled]
    near = made.keys() | set(settings.bridge_mappings.values())
    taps = {name for name, link in found.items() if TAP.fullmatch(name) and (settings.netns or link.master in near)}
    inventory.taps = sorted(taps - foreign)
    ours = {*made, *([""] if settings.netns else [])}
    names = [name for name, link in found.items() if link.kind == "vxlan" and link.master in ours]
    inventory.tunnels = {found[name].vni: _hosts(settings, found[name]) for name in names}
    inventory.filters = sorted(set(firewall.taps()) - foreign)
    inventory.damage = firewall.damage()
    return inventory


def with_trunks(inventory: HostNetInventory, store: Store, trunks: Trunks) -> HostNetInventory:
    found = links.snapshot(store.netns)
    said = {"subports": trunks.states(found), "loose": trunks.loose(found), "unable": trunks.unable()}
    return inventory.model_copy(update=said)


def _hosts(settings: Settings, tunnel: Link) -> list[str]:
    put = entries.of_tunnel(settings.netns, tunnel.name)
    return sorted(host if mac == tunnels.FLOOD else f"{mac} {host}" for mac, host in put)


def _told(store: Store, ports: set[str]) -> dict[str, str]:
    filters = [known for known in store.own_filters() if known.id in ports]
    names = {rule.remote_set for known in filters for rule in known.rules if rule.remote_set}
    sets = {name: members for name, members in store.own_sets().items() if name in names}
    return {f"port/{known.id}": digest(known) for known in filters} | {f"set/{n}": digest(m) for n, m in sets.items()}


def _spaces(store: Store, damage: Mapping[str, list[Damage]]) -> dict[str, SpaceFacts]:
    prefixes = dict(zip(("net", "router"), store.space_prefixes, strict=True))
    return {
        key: _facts(name, damage.get(key, []))
        for kind, prefix in prefixes.items()
        for name in netns.names()
        if name.startswith(prefix) and (key := f"{kind}/{name.removeprefix(prefix)}")
    }


def _facts(name: str, damage: list[Damage]) -> SpaceFacts:
    try:
        inside, routes = spaces.observe(name)
    except HostNetworkError:  # it went away meanwhile
        return SpaceFacts()
    ours = [link for link in inside.values() if link.name.startswith((spaces.INSIDE, "qr-", "qg-"))]
    addresses = {address.partition("/")[0] for link in ours for address in link.addresses}
    return SpaceFacts(addresses=sorted(addresses), routes=sorted(map(" ".join, routes)), damage=damage)
