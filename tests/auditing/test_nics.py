"""One test for each rule about running guests and their host's network."""

import pytest

from activities.auditing import nics
from infra.contracts.audit import PortSeen
from tests.auditing.worlds import ID, NET, PORT, STRANGE, facts, server, shown, world

MISSING = [(nics.unplugged, {"ports": {}}), (nics.tap, {"taps": []}), (nics.filters, {"filters": []})]


@pytest.mark.parametrize(("rule", "missing"), MISSING)
def test_what_a_running_guest_lacks(rule: object, missing: dict[str, object]) -> None:
    assert callable(rule)
    lacking = {"here": facts(**missing)}
    assert shown(rule(world(hosts=lacking))) == [(ID, "here", PORT, True)]
    paused = {"here": facts(**missing, domains={ID: 3})}
    assert shown(rule(world(hosts=paused))) == [(ID, "here", PORT, True)]
    assert shown(rule(world())) == []
    for ports in ({}, {PORT: PortSeen(STRANGE)}):
        found = shown(rule(world(hosts=lacking, ports=ports)))
        assert found == [(ID, "here", PORT, False)], "not repaired: the network service does not say that it is ours"
    off, elsewhere, nobody = (
        facts(**missing, domains={ID: 4}),
        facts(**missing, plugs=False),
        facts(**missing, domains={}),
    )
    for hosts in ({"here": off}, {"here": elsewhere}, {"here": nobody}, {}):
        assert shown(rule(world(hosts=hosts))) == []
    assert shown(rule(world(server(task_state="rebooting"), hosts=lacking))) == []


def test_another_servers_port_file_under_its_port() -> None:
    assert shown(nics.unplugged(world(hosts={"here": facts(ports={PORT: STRANGE})}))) == [(ID, "here", PORT, True)]


def test_dhcp_entry_on_whatever_host_serves_the_network() -> None:
    elsewhere = {"here": facts(served={}), "there": facts("there", domains={}, answered=[])}
    assert shown(nics.dhcp_entry(world(hosts=elsewhere))) == [(ID, "there", PORT, True)]
    assert shown(nics.dhcp_entry(world())) == []
    strange = {"here": facts(served={NET: [PORT, STRANGE]})}
    assert shown(nics.dhcp_entry(world(hosts=strange))) == [], "a port that is no server's"
    assert shown(nics.dhcp_entry(world(server(task_state="deleting"), hosts=elsewhere))) == []


def test_dead_dhcp_server() -> None:
    assert shown(nics.dhcp_server(facts(dhcp=[]))) == [("", "here", f"net/{NET}", True)]
    assert shown(nics.dhcp_server(facts())) == []
