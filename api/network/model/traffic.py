"""What a security group rule may match: protocols, ports, ICMP types and remote prefixes, checked as Neutron does."""

from dataclasses import dataclass
from ipaddress import ip_interface, ip_network
from typing import Any

from api.common.errors import ServiceError
from api.network.errors import bad
from api.network.schemas.security_groups import RuleCreate
from infra.tables.network import SecurityGroupRule

PROTOCOLS = {
    "ah": 51,
    "dccp": 33,
    "egp": 8,
    "esp": 50,
    "gre": 47,
    "icmp": 1,
    "icmpv6": 58,
    "igmp": 2,
    "ipip": 4,
    "ipv6-encap": 41,
    "ipv6-frag": 44,
    "ipv6-icmp": 58,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "ipv6-route": 43,
    "ospf": 89,
    "pgm": 113,
    "rsvp": 46,
    "sctp": 132,
    "tcp": 6,
    "udp": 17,
    "udplite": 136,
    "vrrp": 112,
}
"""Names that a rule's protocol may have, with IANA's numbers."""

WITH_PORTS = {PROTOCOLS[name] for name in ("tcp", "udp", "udplite", "sctp", "dccp")}
ICMP = {1, 58}
ONLY_IPV6 = {58, 43, 44, 59, 60, 41}


@dataclass(frozen=True)
class Traffic:
    """What a rule matches, as it is stored; `protocol` None is any, else a name of PROTOCOLS or a number as text."""

    direction: str
    ethertype: str
    protocol: str | None
    port_range_min: int | None
    port_range_max: int | None
    remote_ip_prefix: str | None
    remote_group_id: str | None
    remote_address_group_id: str | None

    @classmethod
    def of(cls, row: SecurityGroupRule) -> "Traffic":
        return cls(**{name: getattr(row, name) for name in cls.__dataclass_fields__})

    def key(self) -> tuple[Any, ...]:
        """Equal for two rules that match the same traffic, however they spell it."""
        return (
            self.direction,
            self.ethertype,
            protocol_number(self.protocol),
            self.port_range_min,
            self.port_range_max,
            normalized_cidr(self.remote_ip_prefix),
            self.remote_group_id,
            self.remote_address_group_id,
        )


def protocol_number(protocol: str | None) -> int | None:
    if protocol is None:
        return None
    return PROTOCOLS[protocol] if protocol in PROTOCOLS else int(protocol)


def normalized_cidr(prefix: str | None) -> str | None:
    """The prefix without host bits."""
    return str(ip_network(prefix, strict=False)) if prefix else None


def checked(body: RuleCreate) -> Traffic:
    """The rule's traffic; raises 400 with Neutron's type and words for what makes no sense."""
    ethertype = ethertype_of(body.ethertype)
    traffic = Traffic(
        direction=body.direction,
        ethertype=ethertype,
        protocol=protocol_of(body.protocol, ethertype),
        port_range_min=port_of(body.port_range_min),
        port_range_max=port_of(body.port_range_max),
        remote_ip_prefix=_prefix(body.remote_ip_prefix, ethertype),
        remote_group_id=body.remote_group_id,
        remote_address_group_id=body.remote_address_group_id,
    )
    remotes = (traffic.remote_ip_prefix, traffic.remote_group_id, traffic.remote_address_group_id)
    if sum(remote is not None for remote in remotes) > 1:
        raise bad(
            "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.",
            "SecurityGroupMultipleRemoteEntites",
        )
    _check_ports(traffic)
    return traffic


def ethertype_of(value: str) -> str:
    known = {"ipv4": "IPv4", "ipv6": "IPv6"}
    if value.lower() not in known:
        raise bad(
            f"Security group rule for ethertype '{value}' not supported. Allowed values are ['IPv4', 'IPv6'].",
            "SecurityGroupRuleInvalidEtherType",
        )
    return known[value.lower()]


def protocol_of(value: str | int | None, ethertype: str) -> str | None:
    text = "any" if value is None else str(value).lower()
    if text in ("any", ""):
        return None
    if text not in PROTOCOLS and not (text.isdecimal() and len(text) <= 3 and int(text) <= 255):
        raise bad(
            f"Security group rule protocol {value} not supported. Only protocol values {sorted(PROTOCOLS)} and "
            "integer representations [0 to 255] are supported.",
            "SecurityGroupRuleInvalidProtocol",
        )
    if ethertype == "IPv6" and text in ("icmp", "icmpv6"):
        return "ipv6-icmp"
    if ethertype == "IPv4" and protocol_number(text) in ONLY_IPV6:
        raise bad(f"Invalid ethertype {ethertype} for protocol {text}.", "SecurityGroupEthertypeConflictWithProtocol")
    return text if text in PROTOCOLS else str(int(text))


def port_of(value: int | str | None) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and not (value.isdecimal() and len(value) <= 5):
        raise _bad_port(value)
    if not 0 <= int(value) <= 65535:
        raise _bad_port(value)
    return int(value)


def _bad_port(value: int | str) -> ServiceError:
    return bad(f"Invalid value for port {value}", "SecurityGroupInvalidPortValue")


def _prefix(value: str | None, ethertype: str) -> str | None:
    if not value:
        return None
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        raise bad(f"Invalid CIDR {value} given as IP prefix.", "InvalidCIDR") from None
    if f"IPv{network.version}" != ethertype:
        raise bad(f"Conflicting value ethertype {ethertype} for CIDR {value}", "SecurityGroupRuleParameterConflict")
    return ip_interface(value).with_prefixlen


def _check_ports(traffic: Traffic) -> None:
    low, high, number = traffic.port_range_min, traffic.port_range_max, protocol_number(traffic.protocol)
    if low is None and high is None:
        return
    if number is None:
        raise bad("Must also specify protocol if port range is given.", "SecurityGroupProtocolRequiredWithPorts")
    if number in ICMP:
        _check_icmp(low, high)
    elif number not in WITH_PORTS:
        raise bad(
            f"Invalid protocol {traffic.protocol} for port range, only supported for TCP, UDP, UDPLITE, SCTP and DCCP.",
            "SecurityGroupInvalidProtocolForPortRange",
        )
    elif 0 in (low, high):
        raise _bad_port(0)
    elif low is None or high is None or low > high:
        raise bad("For TCP/UDP protocols, port_range_min must be <= port_range_max", "SecurityGroupInvalidPortRange")


def _check_icmp(kind: int | None, code: int | None) -> None:
    for attribute, field, value in (("port_range_min", "type", kind), ("port_range_max", "code", code)):
        if value is not None and value > 255:
            raise bad(
                f"Invalid value for ICMP {field} ({attribute}) {value}. It must be 0 to 255.",
                "SecurityGroupInvalidIcmpValue",
            )
    if kind is None:
        raise bad(
            f"ICMP code (port-range-max) {code} is provided but ICMP type (port-range-min) is missing.",
            "SecurityGroupMissingIcmpType",
        )
