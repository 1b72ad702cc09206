"""Hosts of one machine that are apart: each has a network namespace of its own, on one switch with the others.

Tenant networks then lie on them by VXLAN, as between machines. For labs and tests; the switch is a bridge in the
namespace that the hosts would share otherwise."""

from infra.hostnet import links, netns
from infra.hostnet.network import HostNetwork
from infra.settings import Settings
from workers.layout import Layout, host_settings

SWITCH, UNDERLAY, PREFIX = "switch", "und0", 24


def lay(settings: Settings, layout: Layout) -> None:
    """Namespaces, the switch and a cable to each; what is there stays. HostNetworkError when the kernel refuses."""
    netns.create(layout.netns)
    netns.sysctl(layout.netns, {"bridge/bridge-nf-call-iptables": "0", "bridge/bridge-nf-call-ip6tables": "0"})
    if SWITCH not in (found := links.snapshot(layout.netns)):
        made = [f"link add name {SWITCH} type bridge mcast_snooping 0", f"link set dev {SWITCH} up"]
        links.apply(layout.netns, [*made, "link set dev lo up"])
    for number, host in enumerate(layout.hosts):
        own, port = host_settings(settings, layout, host), f"port{number}"
        HostNetwork(own).ensure_namespace()
        if port not in found or found[port].master != SWITCH:
            _cable(layout.netns, port, own)


def _cable(switch: str, port: str, own: Settings) -> None:
    """It leads to the switch at last: one that does not is made anew."""
    links.delete(switch, port)
    made = [f"link add name {port} type veth peer name {UNDERLAY} netns {own.netns}", f"link set dev {port} up"]
    links.apply(switch, made)
    links.apply(own.netns, [f"address add {own.tunnel_ip}/{PREFIX} dev {UNDERLAY}", f"link set dev {UNDERLAY} up"])
    links.apply(switch, [f"link set dev {port} master {SWITCH}"])
