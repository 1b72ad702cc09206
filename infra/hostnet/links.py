"""Bridges, taps and addresses in a network namespace, read and changed through iproute2."""

import hashlib
import json
import re
import zlib
from dataclasses import dataclass, field
from typing import Any

from infra.hostnet import netns
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.store import BridgeRecord

LLDP = 1 << 14
"""Bit of frames to 01:80:c2:00:00:0e: unless it forwards them, a bridge learns from them before any rule sees them."""

DELETE = "link delete dev "
FAILED = re.compile(r"Command failed -:(\d+)")
"""What `ip -batch` says of the line that ended it, counted from 1."""


@dataclass(frozen=True)
class Link:
    """One interface. No later one has its `index`; `addresses` with prefix length, without link-local IPv6 ones;
    `filtering`: whether a bridge hands packets of both families to the firewall; `forwarding`: which link-local frames
    it takes as any others (its group_fwd_mask); `vni` and `local` of a VXLAN."""

    name: str
    index: int
    kind: str
    master: str
    mtu: int
    up: bool
    filtering: bool
    addresses: frozenset[str]
    mac: str = ""
    forwarding: int = 0
    vni: int = 0
    local: str = ""


@dataclass(frozen=True)
class Wanted:
    """What a bridge with ports must look like. `create`: whether we may make it; `seed`: makes its MAC address."""

    name: str
    mtu: int
    create: bool
    seed: str
    taps: frozenset[str] = frozenset()
    addresses: frozenset[str] = field(default_factory=frozenset)


def snapshot(namespace: str) -> dict[str, Link]:
    """All interfaces of the namespace by name."""
    return parse(json.loads(netns.run(namespace, ["ip", "-j", "-d", "address", "show"]) or "[]"))


def parse(entries: list[dict[str, Any]]) -> dict[str, Link]:
    """What `ip -j -d address show` printed, by name."""
    return {entry["ifname"]: _link(entry) for entry in entries}


def _link(entry: dict[str, Any]) -> Link:
    info = entry.get("linkinfo", {})
    data = info.get("info_data", {})
    return Link(
        name=entry["ifname"],
        index=entry["ifindex"],
        kind=info.get("info_kind", ""),
        master=entry.get("master", ""),
        mtu=entry.get("mtu", 0),
        up="UP" in entry.get("flags", []),
        filtering=bool(data.get("nf_call_iptables") and data.get("nf_call_ip6tables")),
        addresses=frozenset(
            f"{a['local']}/{a['prefixlen']}"
            for a in entry.get("addr_info", [])
            if a.get("family") == "inet" or (a.get("family") == "inet6" and a.get("scope") == "global")
        ),
        mac=entry.get("address", ""),
        forwarding=int(data.get("group_fwd_mask", "0"), 16),
        vni=data.get("id", 0) if info.get("info_kind") == "vxlan" else 0,
        local=data.get("local", ""),
    )


def apply(namespace: str, lines: list[str]) -> None:
    """Run `lines` of an iproute2 batch; the first that fails ends it with HostNetworkError. A link to delete that has
    gone by itself, as a veth does some time after the namespace of its other end, is no failure."""
    while lines:
        try:
            netns.run(namespace, ["ip", "-batch", "-"], "\n".join(lines) + "\n")
            return
        except HostNetworkError as error:
            failed = FAILED.search(str(error))
            if failed is None:
                raise
            line, lines = lines[int(failed[1]) - 1], lines[int(failed[1]) :]
            if not line.startswith(DELETE) or line.removeprefix(DELETE) in snapshot(namespace):
                raise


def delete(namespace: str, name: str) -> None:
    """Remove an interface; absent is success, also when somebody else removes it meanwhile."""
    apply(namespace, [f"{DELETE}{name}"])


def _new_bridge(wanted: Wanted) -> list[str]:
    digest = hashlib.sha256(f"{wanted.seed}/{wanted.name}".encode()).hexdigest()
    # A fixed address: a bridge's own follows its ports, and guests would keep the gateway's old one in their caches.
    mac = ":".join(["02", *(digest[i : i + 2] for i in range(0, 10, 2))])
    return [
        f"link add name {wanted.name} address {mac} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        f"link set dev {wanted.name} addrgenmode none",
    ]


def plan(wanted: Wanted, record: BridgeRecord | None, links: dict[str, Link]) -> tuple[list[str], BridgeRecord]:
    """The batch that makes the bridge as wanted (empty: it is), and what there is to undo then.

    The record must be stored before the batch runs, so that nothing is made that nobody would remove.
    """
    name, link = wanted.name, links.get(wanted.name)
    done = record or BridgeRecord()
    lines: list[str] = []
    if link is None:
        if not wanted.create:
            raise HostNetworkError(f"bridge {name} of this network does not exist on this host")
        lines = _new_bridge(wanted)
        done = done.model_copy(update={"made": True, "zone": zlib.crc32(name.encode()) % 0xFFFF + 1})
        link = Link(name, 0, "bridge", "", 0, up=False, filtering=False, addresses=frozenset())
    if link.kind != "bridge":
        raise HostNetworkError(f"interface {name} is not a bridge")
    if not link.filtering:
        lines.append(f"link set dev {name} type bridge nf_call_iptables 1 nf_call_ip6tables 1")
        done = done.model_copy(update={"filtering": True})
    if done.made and link.mtu != wanted.mtu:
        lines.append(f"link set dev {name} mtu {wanted.mtu}")
    if done.made and link.forwarding != LLDP:
        lines.append(f"link set dev {name} type bridge group_fwd_mask {LLDP}")
    if done.made and not link.up:
        lines.append(f"link set dev {name} up")
    lines += [f"address add {address} dev {name}" for address in sorted(wanted.addresses - link.addresses)]
    stale = (set(done.addresses) - wanted.addresses) & link.addresses
    lines += [f"address delete {address} dev {name}" for address in sorted(stale)]
    ours = (set(done.addresses) & wanted.addresses) | (wanted.addresses - link.addresses)
    done = done.model_copy(update={"addresses": sorted(ours)})
    for tap in sorted(wanted.taps & links.keys()):
        making = not (links[tap].master or links[tap].up)  # libvirt sets a tap up after it put it into its bridge
        if links[tap].master != name and not making:
            lines.append(f"link set dev {tap} master {name}")
    return lines, done


def plan_removal(name: str, record: BridgeRecord, links: dict[str, Link]) -> list[str]:
    """The batch that undoes `record`."""
    link = links.get(name)
    if link is None:
        return []
    if record.made:
        return [f"{DELETE}{name}"]
    lines = [f"address delete {address} dev {name}" for address in record.addresses if address in link.addresses]
    if record.filtering:
        lines.append(f"link set dev {name} type bridge nf_call_iptables 0 nf_call_ip6tables 0")
    return lines
