"""What no file wants any more, and yet exists: a namespace, a DHCP server, a tunnel, an entry of a bridge's table. Each
is ours by its name or place.

Files are written before what they want is made, and dropped after it is gone: what has none is nobody's work."""

from collections.abc import Callable

from infra.hostnet import dhcp, entries, links, netns, procs, tunnels
from infra.hostnet.links import Link
from infra.hostnet.store import Store

Routers = Callable[[], set[str]]


def _spaces(store: Store, routers: Routers) -> list[str]:
    """Names of namespaces with our prefix. What exists is read first: files are older than what they want."""
    found = [name for name in netns.names() if name.startswith(store.space_prefixes)]
    wanted = {record.name for record in store.spaces().values()} | {store.space_name("router", i) for i in routers()}
    return [name for name in found if name not in wanted]


def _servers(store: Store, routers: Routers) -> list[int]:
    """Process ids of dnsmasqs that run on files below our directory, for what is not there or beside another one."""
    serving, doubled = dhcp.running(store.run)
    wanted = {"dhcp": set(store.spaces()), "ra": routers()}
    lost = [pid for (kind, identifier), pid in serving.items() if identifier not in wanted.get(kind, ())]
    return [*lost, *(pid for pids in doubled.values() for pid in pids)]


def _unbridged(store: Store, found: dict[str, Link]) -> list[str]:
    """Tunnels that lead to no bridge, in a namespace that is ours."""
    loose = (link for link in found.values() if link.kind == "vxlan" and not link.master)
    return [link.name for link in loose if store.netns and link.name == tunnels.name_of(link.vni)]


def remove(store: Store, routers: Routers) -> list[str]:
    """What was removed, in words. `routers` says of which routers a namespace was made here."""
    done = []
    for pid in _servers(store, routers):
        procs.end(pid)
        done.append(f"DHCP server {pid}")
    for name in _spaces(store, routers):
        netns.remove(name)
        done.append(f"namespace {name}")
    present = links.snapshot(store.netns)
    for name in _unbridged(store, present):
        links.delete(store.netns, name)
        done.append(f"tunnel {name}")
    ours = {name for name, bridge in store.bridges().items() if bridge.made}
    misled = entries.of_bridges(store.netns, ours, present)
    entries.remove(store.netns, misled)
    done += [f"entry {entry.mac} of {entry.bridge}" for entry in misled]
    return done
