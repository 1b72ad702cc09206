"""What guests may ask of their network's namespace: DHCP, names, metadata, an echo; what passes leads out."""

from infra.hostnet import wayout
from infra.hostnet.spaces import INSIDE, METADATA
from infra.hostnet.tables import Table, chains

CHAINS = f"""
  chain guests {{
    ct state established,related accept
    udp dport {{ 67, 547 }} accept
    meta l4proto {{ tcp, udp }} th dport 53 accept
    ip daddr {METADATA} tcp dport 80 accept
    icmp type echo-request accept
    meta l4proto 58 accept
    drop
  }}
  chain on_input {{
    type filter hook input priority 0; policy accept;
    iifname "{INSIDE}" jump guests
  }}
  chain on_forward {{
    type filter hook forward priority 0; policy drop;
  }}"""


def table(*, way_out: bool) -> Table:
    """`way_out`: let guests through to the outside, by what `wayout` makes."""
    sets, more = wayout.rules() if way_out else ({}, {})
    return Table("inet", "kilonova", sets, chains(CHAINS) | more)
