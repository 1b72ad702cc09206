"""Security group rules as nftables text, and what may not get into it."""

import pytest
from pydantic import ValidationError

from infra.hostnet.models import FilterRule, PortPlug, tap_name
from infra.hostnet.rules import RuleBook
from tests.hostnet.conftest import ingress


def lines(*rules: FilterRule) -> list[str]:
    book = RuleBook()
    return list(book.chains[book.chain("ingress", rules, "drop")].rules)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (ingress("tcp", 22), "ether type ip meta l4proto 6 th dport 22 return"),
        (ingress("6", 22, ["192.0.2.7/32"]), "ip saddr 192.0.2.7 meta l4proto 6 th dport 22 return"),
        (ingress("udp"), "ether type ip meta l4proto 17 return"),
        (ingress("icmp", 8), "ether type ip meta l4proto 1 icmp type 8 icmp code 8 return"),
        (ingress("vrrp"), "ether type ip meta l4proto 112 return"),
        (ingress("132", 5000), "ether type ip meta l4proto 132 th dport 5000 return"),
    ],
)
def test_rules_become_matches(rule: FilterRule, expected: str) -> None:
    assert lines(rule) == [expected, "drop"]


def test_a_port_range() -> None:
    rule = FilterRule(direction="ingress", protocol="tcp", port_range_min=1000, port_range_max=2000)
    assert lines(rule) == ["ether type ip meta l4proto 6 th dport 1000-2000 return", "drop"]


def test_ports_of_many_rules_are_one_match() -> None:
    several = [ingress("tcp", n) for n in (22, 80, 81, 443)]
    assert lines(*several) == ["ether type ip meta l4proto 6 th dport { 22, 80-81, 443 } return", "drop"]
    assert lines(*several, ingress("tcp")) == ["ether type ip meta l4proto 6 return", "drop"]


@pytest.mark.parametrize(
    "rule",
    [
        ingress("tcp", 22, []),
        ingress("tcp", 22, ["2001:db8::/32"]),
        ingress("no-such-protocol"),
        FilterRule(direction="egress"),
    ],
)
def test_what_cannot_be_said_allows_nothing(rule: FilterRule) -> None:
    assert lines(rule) == ["drop"]


def test_a_rule_for_everything_is_all_there_is() -> None:
    assert lines(ingress("tcp", 22), ingress(None, None, ["0.0.0.0/0"])) == ["ether type ip return", "drop"]


def test_equal_groups_share_a_chain_and_a_set_without_overlaps() -> None:
    book = RuleBook()
    rule = ingress("tcp", 22, ["10.0.0.1/32", "10.0.0.1/32", "10.1.0.0/16", "10.1.2.0/24"])
    assert book.chain("ingress", [rule], "drop") == book.chain("ingress", [rule.model_copy()], "drop")
    assert [one.elements for one in book.sets.values()] == [{"10.0.0.1", "10.1.0.0/16"}]
    assert len(book.chains) == 1


def test_a_look_into_a_set_comes_after_the_cheap_tests() -> None:
    several = ingress("tcp", 22, ["192.0.2.7/32", "192.0.2.9/32"])
    (line, _) = lines(several)
    assert line.startswith("meta l4proto 6 ip saddr @") and line.endswith(" th dport 22 return")


@pytest.mark.parametrize(
    "bad",
    [
        {"mac_address": "fa:16:3e:00:00:01 drop"},
        {"port_id": "0123456789a; flush ruleset"},
        {"network_id": "../../../../etc/passwd"},
        {"fixed_ips": [{"ip_address": "10.0.0.1\n", "subnet_id": "0123456789a", "cidr": "10.0.0.0/24"}]},
        {"fixed_ips": [{"ip_address": "10.0.0.1", "subnet_id": "0123456789a", "cidr": "10.0.0.0/24;"}]},
    ],
)
def test_values_that_would_be_read_as_text_are_refused(bad: dict[str, object]) -> None:
    good = {
        "port_id": "01234567-89ab",
        "instance_id": "01234567-89ab",
        "network_id": "01234567-89ab",
        "mac_address": "FA:16:3E:00:00:01",
    }
    assert PortPlug.model_validate(good).mac_address == "fa:16:3e:00:00:01"
    with pytest.raises(ValidationError):
        PortPlug.model_validate(good | bad)


def test_the_tap_has_neutrons_name() -> None:
    assert tap_name("2f6b3d1c-9a5e-4c3f-8d0b-1a2b3c4d5e6f") == "tap2f6b3d1c-9a"
