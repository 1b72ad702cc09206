"""What a host tells the network service of itself: states as the kernel shows them."""

from collections.abc import Callable, Collection, Mapping

from infra.hostnet import links, netns
from infra.hostnet.links import Link
from infra.hostnet.plane import Report
from infra.hostnet.store import RouterRecord, Store
from infra.settings import Settings

Carried = Callable[[Mapping[str, Link]], dict[str, str]]


def report(settings: Settings, store: Store, failed: Collection[str], carried: Carried) -> Report:
    """`failed`: ids of routers that could not be brought about. `carried`: states of subports."""
    found = links.snapshot(store.netns) if netns.is_there(store.netns) else {}
    up = {r.port.port_id: bool((tap := found.get(r.port.tap)) and tap.up) for r in store.own_ports()}
    routers = [record for router_id in store.own_routers() if (record := store.own_router(router_id))]
    states = {r.router.id: _state(store, r, failed) for r in routers}
    return Report(
        tunnel_ip=settings.tunnel_ip,
        bridge_mappings=settings.bridge_mappings,
        routers=states,
        floating_ips={floating.id: states[r.router.id] for r in routers for floating in r.router.floating_ips},
        ports={port_id: "ACTIVE" if is_up else "DOWN" for port_id, is_up in up.items()} | carried(found),
    )


def _state(store: Store, record: RouterRecord, failed: Collection[str]) -> str:
    if not record.router.admin_state_up:
        return "DOWN"
    exists = netns.path(store.space_name("router", record.router.id)).exists()
    return "ACTIVE" if exists and record.router.id not in failed else "ERROR"
