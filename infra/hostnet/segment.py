"""What one bridge of a host needs: the bridge itself, and the namespace and DHCP server of each network on it."""

from dataclasses import dataclass, replace

from infra.hostnet import entries, links, netns, space_rules, spaces, tunnels, wayout
from infra.hostnet.dhcp import Dnsmasq
from infra.hostnet.known import merged
from infra.hostnet.links import Link, Wanted
from infra.hostnet.loader import Loader
from infra.hostnet.models import Damage, is_v4
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.served import Served
from infra.hostnet.spaces import Space
from infra.hostnet.store import PlugRecord, SpaceRecord, Store
from infra.hostnet.tables import Table
from infra.hostnet.topology import Network
from infra.hostnet.tunnels import Tunnel
from infra.hostnet.wayout import WayOut
from infra.settings import Settings


@dataclass
class Want:
    """A bridge as the files want it; None for `bridge` when nothing needs it."""

    bridge: Wanted | None
    networks: list[Network]


def own_bridge(network_id: str) -> str:
    return f"br-{network_id[:11]}"


class Segments:
    """Bridges in the namespace of `store`. Callers of `converge` hold the lock of that bridge."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store, self._netns = settings, store, settings.netns
        self._loaders: dict[str, Loader] = {}

    def bridge_of(self, network_id: str, physical_network: str | None) -> str:
        """HostNetworkError when this host has no such physical network."""
        if not physical_network:
            return own_bridge(network_id)
        name = self._settings.bridge_mappings.get(physical_network)
        if not name:
            raise HostNetworkError(f"physical network {physical_network!r} is not in this host's bridge mappings")
        return name

    def names(self) -> set[str]:
        """Every bridge that something is wanted of, or that something was made for."""
        store = self._store
        return {
            *(r.bridge for r in store.ports()),
            *(r.bridge for r in store.networks().values() if r.network.serves_dhcp),
            *(b for r in store.routers().values() for b in r.bridges.values()),
            *(r.bridge for r in store.spaces().values()),
            *store.bridges(),
        }

    def _want(self, bridge: str, found: dict[str, Link]) -> Want:
        records = [r for r in self._store.ports() if r.bridge == bridge]
        told = {i: r.network for i, r in self._store.networks().items() if r.bridge == bridge}
        routed = {i for r in self._store.routers().values() for i, b in r.bridges.items() if b == bridge}
        ids = sorted({r.port.network_id for r in records} | told.keys())
        lab = self._settings.lab_gateway
        plugs = {i: [r.port for r in records if r.port.network_id == i] for i in ids}
        networks = [self._fitting(merged(told.get(i), i, plugs[i], serves=lab), bridge, found) for i in ids]
        needed = records or routed or any(n.serves_dhcp for n in networks)
        return Want(self._wanted(bridge, records, networks) if needed else None, networks)

    def _fitting(self, network: Network, bridge: str, found: dict[str, Link]) -> Network:
        """With the MTU that a packet of the network may have on its way to another host."""
        local = self._settings.tunnel_ip
        room = tunnels.room(local, found) if tunnels.of_network(network, bridge, local) else None
        return network.model_copy(update={"mtu": room}) if room and room < network.mtu else network

    def _tunnels(self, bridge: str, want: Want) -> list[Tunnel]:
        made = [tunnels.of_network(n, bridge, self._settings.tunnel_ip) for n in want.networks if want.bridge]
        return [tunnel for tunnel in made if tunnel]

    def _converge_tunnels(self, bridge: str, want: Want, found: dict[str, Link]) -> None:
        wanted = self._tunnels(bridge, want)
        links.apply(self._netns, tunnels.stale(bridge, {t.name for t in wanted}, found))
        for tunnel in wanted:
            links.apply(self._netns, tunnels.plan(tunnel, found))
            flood = tunnels.plan_flood(tunnel, entries.of_tunnel(self._netns, tunnel.name))
            if flood:
                netns.run(self._netns, ["bridge", "-batch", "-"], "\n".join(flood) + "\n")

    def _tunnels_are_right(self, bridge: str, want: Want, found: dict[str, Link]) -> bool:
        wanted = self._tunnels(bridge, want)
        floods = [tunnels.plan_flood(t, entries.of_tunnel(self._netns, t.name)) for t in wanted]
        plans = [tunnels.plan(t, found) for t in wanted]
        return not any([*plans, *floods, tunnels.stale(bridge, {t.name for t in wanted}, found)])

    def _wanted(self, bridge: str, records: list[PlugRecord], networks: list[Network]) -> Wanted:
        return Wanted(
            name=bridge,
            mtu=max((n.mtu for n in networks), default=1500),
            # On a real host a bridge that others named leads somewhere: one made here would lead nowhere.
            create=bool(self._netns) or bridge in {own_bridge(n.id) for n in networks},
            seed=f"{self._netns}-{self._store.tag}",
            taps=frozenset(r.port.tap for r in records),
        )

    def _leads_out(self, network: Network) -> bool:
        """Whether guests reach the world through the machine by this network."""
        held = spaces.held_gateways(network, self._settings.lab_gateway)
        return bool(network.physical_network) and any(is_v4(s.cidr) for s in held)

    def _has_way_out(self, network: Network) -> bool:
        return self._settings.way_out != "none" and self._leads_out(network)

    def _space(self, network: Network, bridge: str) -> Space:
        name = self._store.space_name("net", network.id)
        space = spaces.of_network(network, name, bridge, self._settings.lab_gateway)
        return replace(space, sysctls=space.sysctls | wayout.SYSCTLS) if self._has_way_out(network) else space

    def _served(self, network: Network) -> Served | None:
        held = spaces.held_gateways(network, self._settings.lab_gateway)
        upstream = tuple(self._settings.way_out_dns) or (wayout.RESOLVER,)
        names = upstream if self._has_way_out(network) else ()
        served = Served(network, frozenset(s.id for s in held), names)
        return served if served.anything and network.serves_dhcp else None

    def _way_out(self, network_id: str) -> WayOut:
        return WayOut(self._store.space_name("net", network_id), self._store.run / "out")

    def _with_space(self, want: Want) -> dict[str, Network]:
        """Networks that have a namespace here: for DHCP, or as the gateway of what is plugged or routed."""
        return {n.id: n for n in want.networks if n.serves_dhcp or (want.bridge and self._leads_out(n))}

    def served(self) -> dict[str, list[str]]:
        """Network id → ports that DHCP has to answer here."""
        networks = [network for bridge in self.names() for network in self._want(bridge, {}).networks]
        wanted = {network.id: self._served(network) for network in networks if network.serves_dhcp}
        return {network_id: served.answers() for network_id, served in wanted.items() if served}

    def converge(self, bridge: str) -> None:
        """Bring one bridge, and what lies on it, in line with the files."""
        found = links.snapshot(self._netns)
        want, known = self._want(bridge, found), self._store.bridge(bridge)
        if want.bridge:
            lines, record = links.plan(want.bridge, known, found)
            if record != known:
                self._store.put_bridge(bridge, record)
            links.apply(self._netns, lines)
        self._converge_tunnels(bridge, want, found)
        self._converge_spaces(bridge, want, found)
        if not want.bridge and known:
            links.apply(self._netns, links.plan_removal(bridge, known, found))
            self._store.drop_bridge(bridge)

    def _converge_spaces(self, bridge: str, want: Want, found: dict[str, Link]) -> None:
        served = self._with_space(want)
        for network_id, record in self._store.spaces().items():
            if record.bridge == bridge and network_id not in served:
                self.remove_space(network_id)
        for network in served.values():
            space = self._space(network, bridge)
            self._store.put_space(network.id, SpaceRecord(name=space.name, bridge=bridge, label=network.name))
            if not netns.path(space.name).exists():
                self._rules(network.id).forget()
                self._move_in(network, space.name)
            spaces.converge(space, self._netns, found)
            self._rules(network.id).load([self._table(network)])
            Dnsmasq(self._store, network.id).converge(self._served(network))
            if self._has_way_out(network):
                self._way_out(network.id).converge()

    def _move_in(self, network: Network, name: str) -> None:
        """A provider network takes the namespace in which `kilonova exec` may run commands since before it was made."""
        waiting = self._store.waiting
        if not waiting or not network.physical_network or not netns.path(waiting).exists():
            return
        others = (record.name for record in self._store.spaces().values() if record.name != name)
        if netns.identity(waiting) not in {netns.identity(other) for other in others}:
            netns.alias(waiting, name)

    def _rules(self, network_id: str) -> Loader:
        if network_id not in self._loaders:
            marker = self._store.run / "spaces" / f"{network_id}.loaded"
            self._loaders[network_id] = Loader(self._store.space_name("net", network_id), marker)
        return self._loaders[network_id]

    def _table(self, network: Network) -> Table:
        return space_rules.table(way_out=self._has_way_out(network))

    def _damage(self, network: Network) -> list[Damage]:
        return self._rules(network.id).damage([self._table(network)])

    def damage(self) -> dict[str, list[Damage]]:
        """Network id → what somebody else changed of the rules in its namespace, of namespaces that exist."""
        known = self._store.spaces()
        wanted = [n for bridge in self.names() for n in self._with_space(self._want(bridge, {})).values()]
        return {n.id: self._damage(n) for n in wanted if n.id in known and netns.path(known[n.id].name).exists()}

    def end_processes(self, network_id: str) -> None:
        Dnsmasq(self._store, network_id).stop()
        self._way_out(network_id).stop()

    def remove_space(self, network_id: str) -> None:
        self.end_processes(network_id)
        spaces.remove(self._store.space_name("net", network_id), [spaces.outer_name(network_id)], self._netns)
        self._rules(network_id).forget()
        del self._loaders[network_id]
        self._store.drop_space(network_id)

    def is_right(self, bridge: str, found: dict[str, Link]) -> bool:
        want = self._want(bridge, found)
        served = self._with_space(want)
        right = [self._space_is_right(n, bridge, found) for n in served.values()]  # each is to note its damage
        if not want.bridge or links.plan(want.bridge, self._store.bridge(bridge), found)[0]:
            return False
        if not self._tunnels_are_right(bridge, want, found):
            return False
        known = {i for i, r in self._store.spaces().items() if r.bridge == bridge}
        return known == served.keys() and all(right)

    def _space_is_right(self, network: Network, bridge: str, found: dict[str, Link]) -> bool:
        space = self._space(network, bridge)
        if not netns.path(space.name).exists():
            return False
        if self._damage(network):
            self._rules(network.id).forget()
            return False
        if not spaces.is_right(space, found):
            return False
        if self._has_way_out(network) and not self._way_out(network.id).is_right():
            return False
        return Dnsmasq(self._store, network.id).is_right(self._served(network))
