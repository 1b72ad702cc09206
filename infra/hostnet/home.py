"""The namespace that bridges and taps lie in: made where it is ours, and bridged packets handed to nftables."""

import contextlib
from pathlib import Path

from infra.hostnet import links, netns
from infra.hostnet.firewall import Firewall
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.store import Store, write_atomic

OWN_NAMESPACE = {
    "ipv4/ip_forward": "0",  # networks without a router do not reach each other
    "ipv4/conf/all/rp_filter": "0",  # the same subnet may exist on two bridges; spoofing is stopped at the taps
    "ipv4/conf/default/rp_filter": "0",
    "ipv6/conf/default/disable_ipv6": "1",
    "bridge/bridge-nf-call-iptables": "1",
    "bridge/bridge-nf-call-ip6tables": "1",
}


class Home:
    """`store.netns`, or the host's own network."""

    def __init__(self, store: Store, firewall: Firewall) -> None:
        self._store, self._firewall, self._netns = store, firewall, store.netns
        self._ensured = ""  # identity of the namespace that was seen to be in order

    def ensure(self) -> None:
        """Make the namespace if need be, with lo up and bridged packets handed to nftables. Idempotent."""
        identity = netns.identity(self._netns)
        if identity and identity == self._ensured:
            return
        if not Path("/proc/sys/net/bridge").exists():
            with contextlib.suppress(HostNetworkError):
                netns.run("", ["modprobe", "br_netfilter"])
            if not Path("/proc/sys/net/bridge").exists():
                raise HostNetworkError("the kernel module br_netfilter is missing: no security groups without it")
        if self._netns:
            self._ensure_own()
        self._ensured = netns.identity(self._netns)

    def _ensure_own(self) -> None:
        with self._store.lock("namespace"):
            marker = self._store.run / "namespace"
            if not netns.path(self._netns).exists():
                write_atomic(marker, self._netns)
                self._firewall.forget()
                netns.create(self._netns)
            if not links.snapshot(self._netns)["lo"].up:
                links.apply(self._netns, ["link set dev lo up"])
            if marker.exists():
                netns.sysctl(self._netns, OWN_NAMESPACE)
                if netns.create(self._store.waiting):
                    links.apply(self._store.waiting, ["link set dev lo up"])

    def is_there(self) -> bool:
        return netns.is_there(self._netns)
