"""What a host tells an audit of a plugged port, and how what was taken away comes back: in a real network namespace."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from activities.auditing import network_host, nics
from activities.hypervisor import Hypervisor
from infra.contracts.abilities import SUBPORTS, VIF_LIMITS
from infra.contracts.audit import PortHeld, PortSeen, World
from infra.contracts.hypervisor import HostFacts, HostRef, NicsOnHost
from infra.contracts.limits import Limits, Rate
from infra.contracts.network import PortRequest
from infra.host.driver import Driver
from infra.host.files.images import ImageStore
from infra.host.network.ports import PortPlugger
from infra.host.network.states import PortStates
from infra.hostnet import netns, shaping
from infra.hostnet.network import HostNetwork
from infra.settings import Settings
from tests.auditing.worlds import server
from tests.host.cloud import HOST, Cloud, new_id
from tests.host.steps import run
from tests.host.test_ports import Net, net, quiet  # noqa: F401 - a fixture


@pytest.fixture
def networked(cloud: Cloud, host: Settings) -> Iterator[tuple[Settings, HostNetwork]]:
    own = {"netns": f"kh-{uuid.uuid4().hex[:8]}", "host_networking": "kilonova", "lab_gateway": True, "way_out": "none"}
    settings = host.model_copy(update=own)
    network = HostNetwork(settings)
    network.ensure_namespace()
    yield settings, network
    network.teardown()


def kinds(facts: HostFacts, instance_id: str, port: str) -> set[str]:
    """What the audit finds of a guest that runs here with this port."""
    held = (PortHeld(port, "n", ("10.9.8.2",)),)
    known = server(instance_id, host=facts.host, held={facts.host: 1}, ports=held)
    facts = facts.model_copy(update={"domains": {instance_id: 1}})
    world = World(servers={instance_id: known}, hosts={facts.host: facts}, ports={port: PortSeen(instance_id)})
    rules = (nics.unplugged, nics.tap, nics.filters, nics.dhcp_entry, network_host.RULES["dhcp_server"])
    return {finding.kind for rule in rules for finding in rule(world)}


def test_what_a_plugged_port_lost_is_found_and_plugged_again(
    cloud: Cloud,
    net: Net,  # noqa: F811
    networked: tuple[Settings, HostNetwork],
) -> None:
    """Mechanism: Nics.facts and the rules of activities.auditing.nics; plugging again as a port that exists. An id was
    all that was compared: a guest without tap, filter and DHCP entry counted as well."""
    settings, network = networked
    driver = Driver(settings, cloud.control, (network, PortStates(settings, cloud.session, network)))
    steps = Hypervisor(driver, ImageStore(settings, cloud.session))
    plugger = PortPlugger(settings, cloud.session, network)
    want = net.want(PortRequest(port_id=new_id(), network_id=net.network_id))
    port, tap = want.ports[0].port_id, plugger.plug(want, quiet).vifs[0].tap

    def make_tap() -> None:
        netns.run(settings.netns, ["ip", "tuntap", "add", tap, "mode", "tap"])  # as libvirt does

    def found() -> set[str]:
        return kinds(driver.facts(), want.instance_id, port)

    make_tap()
    run(steps.sync_network, HostRef(host=HOST))
    assert found() == set()
    assert {VIF_LIMITS, SUBPORTS} <= set(driver.inventory()["facts"]["abilities"])
    driver.nics.limit(want.instance_id, Limits(inbound=Rate(average=1000)))
    assert shaping.present(settings.netns)[tap][0] == 1_000_000 and found() == set()
    netns.run(settings.netns, ["ip", "link", "delete", tap])
    assert found() == {"tap"}
    network.unplug(port)
    assert {"tap", "unplugged", "filter"} <= found()
    again = want.model_copy(update={"ports": [PortRequest(port_id=port, mine=False)]})
    vifs = plugger.plug(again, quiet).vifs
    assert vifs[0].tap == tap
    make_tap()
    run(steps.mend_nics, NicsOnHost(instance_id=want.instance_id, vifs=vifs))  # it has its tap by now
    assert found() == set()
    plugger.unplug(want, quiet)


def test_a_damaged_dhcp_entry_is_found_and_written_again(
    cloud: Cloud,
    net: Net,  # noqa: F811
    networked: tuple[Settings, HostNetwork],
) -> None:
    """Mechanism: Dnsmasq's `_is_written`: only what it had been told was compared, not what its file says now."""
    settings, network = networked
    driver = Driver(settings, cloud.control, (network, PortStates(settings, cloud.session, network)))
    steps = Hypervisor(driver, ImageStore(settings, cloud.session))
    plugger = PortPlugger(settings, cloud.session, network)
    want = net.want(PortRequest(port_id=new_id(), network_id=net.network_id))
    port = want.ports[0].port_id
    plugger.plug(want, quiet)
    (hosts,) = network._store.run.glob("dhcp/*/hosts")
    hosts.write_text("")
    facts: Any = driver.facts()
    assert port in facts.served[net.network_id] and port not in facts.answered
    assert "dhcp_entry" in kinds(facts, want.instance_id, port)
    run(steps.sync_network, HostRef(host=HOST))
    assert "dhcp_entry" not in kinds(driver.facts(), want.instance_id, port)
    plugger.unplug(want, quiet)
