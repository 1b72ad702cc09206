"""Address translation and filtering of one router, as nftables of its namespace.

Floating addresses translate both ways, also for guests behind the same router; what else leaves by the gateway takes
the gateway's address. Only what was translated, and answers, get in while the router hides its networks."""

from infra.hostnet.models import is_v4
from infra.hostnet.spaces import METADATA
from infra.hostnet.tables import Chain, Set, Table
from infra.hostnet.topology import Gateway, PortForwarding, Router

FROM_OUTSIDE = 0x2
ADDRESSES, PORTS = "ipv4_addr : ipv4_addr", "ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service"


def table(router: Router, outside: str) -> Table:
    """`outside`: the gateway's interface, '' without one."""
    floating = [f for f in router.floating_ips if is_v4(f.floating_ip_address)]
    inward = frozenset(f"{f.floating_ip_address} : {f.fixed_ip_address}" for f in floating)
    outward = {f.fixed_ip_address: f.floating_ip_address for f in sorted(floating, key=lambda f: f.id)}
    sets = {
        "floating": Set(ADDRESSES, inward, maps=True),
        "fixed": Set(ADDRESSES, frozenset(f"{fixed} : {address}" for fixed, address in outward.items()), maps=True),
        "forwarded": Set(PORTS, frozenset(e for f in router.port_forwardings for e in _forwarded(f)), maps=True),
    }
    chains = {
        "guard": Chain((f"ip daddr {METADATA} drop",)),
        "inbound": Chain(_inbound(router.gateway)),
        "leaving": Chain(("snat ip to ip saddr map @fixed", *_hide(router.gateway, always=False))),
        "turning": Chain(
            (f"meta mark {FROM_OUTSIDE} return", "snat ip to ip saddr map @fixed", *_hide(router.gateway, always=True))
        ),
        "on_prerouting": Chain(
            _from(outside, f"meta mark set {FROM_OUTSIDE}"), "type filter hook prerouting priority -150;"
        ),
        "on_input": Chain(_from(outside, "jump guard"), "type filter hook input priority 0;"),
        "on_forward": Chain(_from(outside, "jump inbound"), "type filter hook forward priority 0;"),
        "translate": Chain(
            (
                "dnat ip to ip daddr . meta l4proto . th dport map @forwarded",
                "dnat ip to ip daddr map @floating",
            ),
            "type nat hook prerouting priority -100;",
        ),
        "source": Chain(
            (*([f'oifname "{outside}" goto leaving'] if outside else []), "ct status dnat jump turning"),
            "type nat hook postrouting priority 100;",
        ),
    }
    return Table("inet", "kilonova", sets, chains)


def _from(outside: str, verdict: str) -> tuple[str, ...]:
    return (f'iifname "{outside}" {verdict}',) if outside else ()


def _inbound(gateway: Gateway | None) -> tuple[str, ...]:
    if gateway is None or not gateway.enable_snat:
        return ()
    return ("meta nfproto ipv6 return", "ct state established,related return", "ct status dnat return", "drop")


def _hide(gateway: Gateway | None, *, always: bool) -> tuple[str, ...]:
    address = next((f.ip_address for f in gateway.fixed_ips if is_v4(f.ip_address)), "") if gateway else ""
    return (f"snat ip to {address}",) if gateway and address and (always or gateway.enable_snat) else ()


def _forwarded(forwarding: PortForwarding) -> list[str]:
    start, inner = f"{forwarding.floating_ip_address} . {forwarding.protocol}", forwarding.internal_ip_address
    return [f"{start} . {outside} : {inner} . {inside}" for outside, inside in forwarding.pairs()]
