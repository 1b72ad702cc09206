"""What a compute host is told about a port, and what it can tell about its own network."""

import hashlib
import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
SET_NAME = re.compile(r"(group|address-group):[0-9A-Za-z-]{11,64}")
INTERFACE = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,14}")
IDENTIFIER = re.compile(r"[0-9A-Za-z-]{11,64}")


@lru_cache(maxsize=65536)
def _address(value: str) -> str:
    return str(ipaddress.ip_address(value))


@lru_cache(maxsize=65536)  # a group's members come again with each of its ports, and every few seconds
def _prefix(value: str) -> str:
    return str(ipaddress.ip_network(value, strict=False))


def _mac(value: str) -> str:
    value = value.lower()
    if not MAC.fullmatch(value):
        raise ValueError("not a MAC address")
    return value


def _identifier(value: str) -> str:
    if not IDENTIFIER.fullmatch(value):
        raise ValueError("not an id")
    return value


def _interface(value: str) -> str:
    if not INTERFACE.fullmatch(value):
        raise ValueError("not the name of an interface")
    return value


# Each of these ends up in files that other programs parse, so none may hold anything but what its name says.
Address = Annotated[str, AfterValidator(_address)]
Prefix = Annotated[str, AfterValidator(_prefix)]
Mac = Annotated[str, AfterValidator(_mac)]
Identifier = Annotated[str, AfterValidator(_identifier)]
Interface = Annotated[str, AfterValidator(_interface)]


def _set_name(value: str) -> str:
    if not SET_NAME.fullmatch(value):
        raise ValueError("not the name of a set of addresses")
    return value


SetName = Annotated[str, AfterValidator(_set_name)]
Vlan = Annotated[int, Field(ge=1, le=4094)]


def tap_name(port_id: str) -> str:
    """Name of a port's interface on its host, as Neutron's agents name it (15 characters are the kernel's limit)."""
    return f"tap{port_id[:11]}"


def outer_name(port_id: str) -> str:
    """Name of the other end of a subport's tap, where its parent's guest is."""
    return f"sp-{port_id[:11]}"


def is_v4(address: str) -> bool:
    return ":" not in address


class _Known(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class HostRoute(_Known):
    destination: Prefix
    nexthop: Address


class FixedIp(_Known):
    """One address of a port with what its subnet says; `cidr` as in Neutron's subnet."""

    ip_address: Address
    subnet_id: Identifier
    cidr: Prefix
    gateway_ip: Address | None = None
    dns_nameservers: list[Address] = []
    host_routes: list[HostRoute] = []
    enable_dhcp: bool = True


class AddressPair(_Known):
    """Neutron's allowed address pair: addresses (one or a prefix) that the port may also use."""

    ip_address: Prefix
    mac_address: Mac | None = None


class Bandwidth(_Known):
    """Limits in kbit/s, None for none; `egress` is what the guest sends. Bursts in kbit, 0 for the usual one. The peak
    is the speed of a burst, None for any."""

    egress_kbps: Annotated[int, Field(gt=0)] | None = None
    egress_burst_kbits: Annotated[int, Field(ge=0)] = 0
    egress_peak_kbps: Annotated[int, Field(gt=0)] | None = None
    ingress_kbps: Annotated[int, Field(gt=0)] | None = None
    ingress_burst_kbits: Annotated[int, Field(ge=0)] = 0
    ingress_peak_kbps: Annotated[int, Field(gt=0)] | None = None

    @field_validator("egress_burst_kbits", "ingress_burst_kbits", mode="before")
    @classmethod
    def _usual(cls, value: int | None) -> int:
        return value or 0


class Below(_Known):
    """Of a subport: the parent of its trunk, whose guest tags the subport's frames with `number`."""

    parent: Identifier
    number: Vlan


class PortPlug(_Known):
    """All a host must know to plug a port. `mtu` in bytes; `physical_network` None for a network of its own;
    `bridge_name`: of the bridge that the port's binding names, None where the host chooses it. `limits`: what the
    flavor of its guest allows. `below`: of a subport, whose tap is the inner end of a pair of ours."""

    port_id: Identifier
    instance_id: Identifier
    network_id: Identifier
    network_name: str = ""
    physical_network: str | None = None
    bridge_name: Interface | None = None
    mac_address: Mac
    mtu: int = 1500
    fixed_ips: list[FixedIp] = []
    hostname: str = ""
    port_security_enabled: bool = True
    allowed_address_pairs: list[AddressPair] = []
    limits: Bandwidth | None = None
    below: Below | None = None

    @property
    def tap(self) -> str:
        return tap_name(self.port_id)


class FilterRule(_Known):
    """A security group rule. The other side: the members of `remote_set`, else `remote_ips`; None is anywhere."""

    direction: Literal["ingress", "egress"]
    ethertype: str = "IPv4"
    protocol: str | int | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ips: list[Prefix] | None = None
    remote_set: SetName | None = None


class FilterAddress(_Known):
    ip_address: Address
    subnet_id: str | None = None


class SubPort(_Known):
    port_id: Identifier
    segmentation_id: Vlan


class Trunk(_Known):
    """Of its parent port. One that is administratively down carries nothing."""

    admin_state_up: bool = True
    subports: list[SubPort] = []


class PortFilter(_Known):
    """A port of this host as the network service tells its rules. `trunk`: that the port is the parent of."""

    id: Identifier
    mac_address: Mac
    fixed_ips: list[FilterAddress] = []
    network_id: Identifier
    device_id: str = ""
    admin_state_up: bool = True
    port_security_enabled: bool = True
    allowed_address_pairs: list[AddressPair] = []
    rules: list[FilterRule] = []
    stateful: bool = True
    qos: Bandwidth | None = None
    trunk: Trunk | None = None


def digest(told: PortFilter | Iterable[str]) -> str:
    """Of a port's rules, or of a set's members, whose order means nothing."""
    text = told.model_dump_json() if isinstance(told, PortFilter) else " ".join(sorted(told))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Damage(BaseModel):
    """A table, chain, set, rule or element of nftables ("table inet chain spoof: …") that somebody else changed."""

    model_config = ConfigDict(frozen=True)

    part: str
    problem: Literal["missing", "too many"]

    def __lt__(self, other: "Damage") -> bool:
        return (self.part, self.problem) < (other.part, other.problem)


class SpaceFacts(BaseModel):
    """Of one namespace: addresses on the interfaces that we made, without link-local ones; our routes, as "TO HOW";
    what of our rules is not as we loaded it."""

    addresses: list[str] = []
    routes: list[str] = []
    damage: list[Damage] = []


class HostNetInventory(BaseModel):
    """What exists on this host, whatever the records say; what another host in the same namespace plugged is left out.

    `ports`: plugged port id → instance id, from the port files. `taps` and `filters`: interface names (`tap_name`
    of a port id). `bridges`: those that we made. `networks`: network id → process id of its dnsmasq.
    `advertisers`: the same of routers. `reservations`: port ids that a dnsmasq would answer; `served`: network id →
    those that it has to. `spaces`: namespaces, as 'net/<id>' or 'router/<id>'. `tunnelled`: whether networks leave this
    host by VXLAN. `tunnels`: network identifier → addresses of the hosts that it floods to; an entry for one MAC
    address has that before the host. `damage`: of the host's own rules. `told`: 'port/<id>' of plugged ports and
    'set/<name>' → digest of the rules that the network service told. `others`: networks and routers that another host
    in the same namespace carries. `gateways`: whether networks' namespaces answer at gateway addresses that no port
    has. `doubled`: 'net/<id>' or 'router/<id>' for each dnsmasq beside the one that serves it. `misled`: entries of our
    bridges' tables that somebody put there, as "BRIDGE MAC DEVICE". `subports`: port id → 'carried', 'waiting' (its
    guest has no tap now), or what of it is not as it should be. `loose`: ends of pairs, and interfaces with programs,
    that no port wants. `unable`: why this host carries no subports, '' where it does.
    """

    ports: dict[str, str] = {}
    taps: list[str] = []
    bridges: list[str] = []
    networks: dict[str, int] = {}
    advertisers: dict[str, int] = {}
    reservations: list[str] = []
    served: dict[str, list[str]] = {}
    spaces: dict[str, SpaceFacts] = {}
    tunnelled: bool = False
    tunnels: dict[int, list[str]] = {}
    filters: list[str] = []
    damage: list[Damage] = []
    told: dict[str, str] = {}
    others: list[str] = []
    gateways: bool = False
    doubled: list[str] = []
    misled: list[str] = []
    subports: dict[str, str] = {}
    loose: list[str] = []
    unable: str = ""
