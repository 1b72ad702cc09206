"""Ports against the real network service, and plugged for real in a network namespace."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.errors import HOPELESS, HOST_CANNOT
from infra.contracts.network import PortRequest, PortsOnHost
from infra.host.network import bindings, neutron_filters
from infra.host.network.ports import PortPlugger
from infra.host.network.states import PortStates
from infra.host.network.topology import TopologyPoll
from infra.host.services.rest import Service, Unexpected
from infra.hostnet import netns
from infra.hostnet.models import PortFilter
from infra.hostnet.network import HostNetwork
from infra.openstack import NETWORK, service_session
from infra.settings import Settings
from tests.host.cloud import HOST, Cloud, User, new_id
from workers.sign_in import as_service


def quiet(*_: Any) -> None:
    pass


@dataclass
class Net:
    demo: User
    network_id: str
    subnet_id: str

    def port(self, port_id: str) -> Any:
        found = self.demo.call("network", "GET", f"/v2.0/ports/{port_id}")
        return found and found["port"]

    def want(self, *ports: PortRequest, **more: Any) -> PortsOnHost:
        instance_id = more.pop("instance_id", None) or new_id()
        requests = list(ports) or [PortRequest(port_id=new_id(), network_id=self.network_id)]
        return PortsOnHost(
            instance_id=instance_id, project_id=self.demo.project_id, hostname="web", ports=requests, **more
        )


@pytest.fixture
def net(cloud: Cloud) -> Iterator[Net]:
    """A tenant's network of eight addresses, two of which are free."""
    with cloud.user() as demo:
        network = demo.call("network", "POST", "/v2.0/networks", {"network": {"name": "private"}})["network"]
        body = {"network_id": network["id"], "ip_version": 4, "cidr": "10.9.8.0/29", "dns_nameservers": ["9.9.9.9"]}
        body["allocation_pools"] = [{"start": "10.9.8.2", "end": "10.9.8.4"}]
        subnet = demo.call("network", "POST", "/v2.0/subnets", {"subnet": body})["subnet"]
        yield Net(demo, network["id"], subnet["id"])
        for port in demo.call("network", "GET", f"/v2.0/ports?network_id={network['id']}")["ports"]:
            demo.call("network", "DELETE", f"/v2.0/ports/{port['id']}")
        demo.call("network", "DELETE", f"/v2.0/networks/{network['id']}")


@pytest.fixture
def plugger(cloud: Cloud, host: Settings) -> PortPlugger:
    return PortPlugger(host, cloud.session, None)


def hopeless(plugger: PortPlugger, want: PortsOnHost) -> str:
    with pytest.raises(ApplicationError) as failure:
        plugger.plug(want, quiet)
    assert failure.value.type == HOPELESS
    return failure.value.message


def test_plug_and_unplug_twice(net: Net, plugger: PortPlugger) -> None:
    want = net.want(PortRequest(port_id=new_id(), network_id=net.network_id, tag="front"))
    port_id = want.ports[0].port_id
    first = plugger.plug(want, quiet).vifs[0]
    assert plugger.plug(want, quiet).vifs == [first]
    assert (first.port_id, first.label, first.tag, first.tap) == (port_id, "private", "front", f"tap{port_id[:11]}")
    fixed = first.fixed_ips[0]
    assert (fixed.cidr, fixed.gateway_ip, fixed.dns_nameservers) == ("10.9.8.0/29", "10.9.8.1", ["9.9.9.9"])
    port = net.port(port_id)
    assert (port["device_id"], port["device_owner"], port["status"]) == (want.instance_id, "compute:nova", "ACTIVE")
    assert port["project_id"] == net.demo.project_id and port["mac_address"] == first.mac_address
    for _ in range(2):
        plugger.unplug(want, quiet)
        assert net.port(port_id) is None


def test_several_ports_keep_their_order(net: Net, plugger: PortPlugger) -> None:
    want = net.want(*(PortRequest(port_id=new_id(), network_id=net.network_id) for _ in range(3)))
    assert [vif.port_id for vif in plugger.plug(want, quiet).vifs] == [request.port_id for request in want.ports]
    assert "No fixed IP addresses available" in hopeless(plugger, net.want())
    plugger.unplug(want, quiet)


def test_a_tenants_own_port_is_bound_never_deleted(net: Net, plugger: PortPlugger) -> None:
    own = net.demo.call("network", "POST", "/v2.0/ports", {"port": {"network_id": net.network_id}})["port"]["id"]
    want = net.want(PortRequest(port_id=own, mine=False))
    for _ in range(2):
        assert plugger.plug(want, quiet).vifs[0].port_id == own
    assert net.port(own)["device_id"] == want.instance_id
    assert hopeless(plugger, net.want(PortRequest(port_id=own, mine=False))) == f"Port {own} is still in use."
    plugger.unplug(net.want(PortRequest(port_id=own, mine=False)), quiet)
    assert net.port(own)["device_id"] == want.instance_id, "another server's undo took it away"
    for _ in range(2):
        plugger.unplug(want, quiet)
        assert net.port(own)["device_id"] == "" and net.port(own)["device_owner"] == ""


def test_what_is_gone_is_hopeless(cloud: Cloud, net: Net, plugger: PortPlugger) -> None:
    missing = new_id()
    assert hopeless(plugger, net.want(PortRequest(port_id=missing, mine=False))).startswith(f"Port {missing}")
    words = hopeless(plugger, net.want(PortRequest(port_id=new_id(), network_id=missing)))
    assert missing in words
    assert missing in hopeless(plugger, net.want(security_groups=[missing]))
    with cloud.user("admin") as admin:
        bare = admin.call("network", "POST", "/v2.0/networks", {"network": {"name": "no subnet", "shared": True}})
        network_id = bare["network"]["id"]
        want = net.want(PortRequest(port_id=new_id(), network_id=network_id))
        assert "requires a FixedIP" in hopeless(plugger, want)
        plugger.unplug(want, quiet)
        admin.call("network", "DELETE", f"/v2.0/networks/{network_id}")


@pytest.mark.parametrize("mine", [True, False])
def test_a_port_that_was_deleted_behind_a_servers_back_costs_it_that_one(
    net: Net, plugger: PortPlugger, *, mine: bool
) -> None:
    body = {"port": {"network_id": net.network_id}}
    own = net.demo.call("network", "POST", "/v2.0/ports", body)["port"]["id"]
    gone = new_id() if mine else net.demo.call("network", "POST", "/v2.0/ports", body)["port"]["id"]
    lost = PortRequest(port_id=gone, network_id=net.network_id if mine else None, mine=mine)
    want = net.want(PortRequest(port_id=own, mine=False), lost)
    assert [vif.port_id for vif in plugger.plug(want, quiet).vifs] == [own, gone]
    net.demo.call("network", "DELETE", f"/v2.0/ports/{gone}")
    held = want.model_copy(update={"held": True})
    for _ in range(2):
        assert [vif.port_id for vif in plugger.plug(held, quiet).vifs] == [own]
    assert net.port(gone) is None, "nobody asked for another one"
    plugger.part(want, quiet)
    assert [vif.port_id for vif in plugger.plug(held, quiet).vifs] == [own]
    plugger.unplug(want, quiet)
    plugger.plug(net.want(PortRequest(port_id=own, mine=False)), quiet)
    assert plugger.plug(held, quiet).vifs == [], "it is another server's by now"
    net.demo.call("network", "DELETE", f"/v2.0/ports/{own}")


def test_addresses_asked_for_and_preferred(net: Net, plugger: PortPlugger) -> None:
    def request(**more: Any) -> PortsOnHost:
        return net.want(PortRequest(port_id=new_id(), network_id=net.network_id, **more))

    first, second, third = request(fixed_ip="10.9.8.4"), request(preferred_ip="10.9.8.3"), None
    assert plugger.plug(first, quiet).vifs[0].fixed_ips[0].ip_address == "10.9.8.4"
    assert plugger.plug(second, quiet).vifs[0].fixed_ips[0].ip_address == "10.9.8.3"
    assert "10.9.8.4" in hopeless(plugger, request(fixed_ip="10.9.8.4"))
    third = request(preferred_ip="10.9.8.4")
    assert plugger.plug(third, quiet).vifs[0].fixed_ips[0].ip_address == "10.9.8.2"


def test_a_moved_build_keeps_its_port(cloud: Cloud, net: Net, plugger: PortPlugger, host: Settings) -> None:
    want = net.want()
    before = plugger.plug(want, quiet).vifs[0]
    elsewhere = PortPlugger(host.model_copy(update={"host": "other"}), cloud.session, None)
    assert elsewhere.plug(want, quiet).vifs[0].mac_address == before.mac_address
    plugger.unplug(want, quiet)
    assert net.port(want.ports[0].port_id) is not None, "the first host's late undo took it from the second"
    PortPlugger(host, cloud.session, None, fenced=False).unplug(want, quiet)
    assert net.port(want.ports[0].port_id) is None


def test_a_zombies_late_step_takes_nothing(cloud: Cloud, net: Net, host: Settings) -> None:
    """Mechanism: Fence, asked before a port is taken over and after all are plugged."""
    late = PortPlugger(host, cloud.session, None, cloud.control)
    next_host = PortPlugger(host.model_copy(update={"host": "other"}), cloud.session, None)
    own = net.demo.call("network", "POST", "/v2.0/ports", {"port": {"network_id": net.network_id}})["port"]["id"]
    both = [PortRequest(port_id=new_id(), network_id=net.network_id), PortRequest(port_id=own, mine=False)]
    want = net.want(*both, attempt=1)
    cloud.claim(want.instance_id, attempt=2, host="other")
    next_host.plug(want, quiet)
    lost(lambda: late.plug(want, quiet))
    assert {net.port(port.port_id)["device_id"] for port in both} == {want.instance_id}
    with cloud.user("admin") as admin:
        bound = admin.call("network", "GET", f"/v2.0/ports?device_id={want.instance_id}")["ports"]
        assert [port["binding:host_id"] for port in bound] == ["other", "other"]
    next_host.unplug(want, quiet)
    cloud.unclaim(want.instance_id)
    lost(lambda: late.plug(want, quiet))
    assert net.port(both[0].port_id) is None and net.port(own)["device_id"] == ""
    cloud.claim(want.instance_id)
    assert len(late.plug(want, quiet).vifs) == 2
    late.unplug(want, quiet)


def test_who_has_the_claim_ends_what_another_host_has(cloud: Cloud, net: Net, host: Settings) -> None:
    """Mechanism: Fence.rules. A move whose way back was given up leaves ports on the host that it went to."""
    here = PortPlugger(host, cloud.session, None, cloud.control)
    want = net.want(attempt=1)
    PortPlugger(host.model_copy(update={"host": "other"}), cloud.session, None).plug(want, quiet)
    here.unplug(want, quiet)
    assert net.port(want.ports[0].port_id) is not None, "without the claim"
    cloud.claim(want.instance_id)
    here.unplug(want, quiet)
    assert net.port(want.ports[0].port_id) is None


def test_an_undo_that_the_next_host_overtakes_leaves_the_port(
    cloud: Cloud, net: Net, plugger: PortPlugger, host: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mechanism: If-Match of Ports.release."""
    want = net.want()
    plugger.plug(want, quiet)
    look = plugger._ports.find

    def overtaken(*args: Any) -> Any:
        found = look(*args)
        PortPlugger(host.model_copy(update={"host": "other"}), cloud.session, None).plug(want, quiet)
        return found

    monkeypatch.setattr(plugger._ports, "find", overtaken)
    with pytest.raises(Unexpected):
        plugger.unplug(want, quiet)
    monkeypatch.undo()
    plugger.unplug(want, quiet)
    assert net.port(want.ports[0].port_id)["device_id"] == want.instance_id
    PortPlugger(host, cloud.session, None, fenced=False).unplug(want, quiet)


def lost(late: Callable[[], Any]) -> None:
    with pytest.raises(ApplicationError, match="no longer holds the claim") as failure:
        late()
    assert failure.value.type == HOST_CANNOT


def test_a_network_service_without_chosen_ids(cloud: Cloud, net: Net, plugger: PortPlugger, host: Settings) -> None:
    plugger._ports._ids_accepted = False  # as after Neutron's first refusal
    want = net.want()
    vif = plugger.plug(want, quiet).vifs[0]
    assert vif.port_id != want.ports[0].port_id and plugger.plug(want, quiet).vifs == [vif]
    PortPlugger(host, cloud.session, None).unplug(want, quiet)
    assert net.port(vif.port_id) is None


@pytest.fixture
def networked(cloud: Cloud, host: Settings) -> Iterator[tuple[Settings, HostNetwork]]:
    settings = host.model_copy(update={"netns": f"kh-{uuid.uuid4().hex[:8]}", "host_networking": "kilonova"})
    network = HostNetwork(settings)
    network.ensure_namespace()
    yield settings, network
    network.teardown()


def test_plugged_and_filtered_on_the_host(cloud: Cloud, net: Net, networked: tuple[Settings, HostNetwork]) -> None:
    settings, network = networked
    plugger, states = PortPlugger(settings, cloud.session, network), PortStates(settings, cloud.session, network)
    poll = TopologyPoll(settings, cloud.session, network, states)
    poll()
    before = network.describe()  # what other tests' ports left to this host
    want = net.want()
    vif = plugger.plug(want, quiet).vifs[0]
    assert vif.bridge in network.describe().bridges
    assert network.describe().ports == {vif.port_id: want.instance_id}
    poll()
    assert poll._etag and poll() is False
    known = network._store.filters()[vif.port_id]
    assert known.device_id == want.instance_id
    chosen = network.describe().networks.keys() - before.networks.keys()
    assert chosen == {net.network_id}, "this host was chosen to answer DHCP"
    for _ in range(2):
        plugger.unplug(want, quiet)
        assert network.describe().ports == {}
    assert poll()
    assert vif.bridge not in network.describe().bridges and net.network_id not in network.describe().networks


def test_an_undo_leaves_a_port_that_another_server_plugged(
    cloud: Cloud, net: Net, networked: tuple[Settings, HostNetwork]
) -> None:
    """Mechanism: HostNetwork.unplug's instance. The loser of two builds with one port cut the winner's tap off."""
    settings, network = networked
    plugger = PortPlugger(settings, cloud.session, network)
    own = net.demo.call("network", "POST", "/v2.0/ports", {"port": {"network_id": net.network_id}})["port"]["id"]
    winner, loser = (net.want(PortRequest(port_id=own, mine=False)) for _ in range(2))
    vif = plugger.plug(winner, quiet).vifs[0]
    netns.run(settings.netns, ["ip", "tuntap", "add", vif.tap, "mode", "tap"])  # as libvirt makes it
    hopeless(plugger, loser)
    plugger.unplug(loser, quiet)
    assert network.describe().ports == {own: winner.instance_id}
    assert vif.tap in network.describe().taps
    plugger.unplug(winner, quiet)
    assert network.describe().ports == {} and network.describe().taps == []


def test_an_old_undo_leaves_a_later_attempts_ports(
    cloud: Cloud, net: Net, networked: tuple[Settings, HostNetwork]
) -> None:
    """Mechanism: Fence.superseded. Both attempts are of this host, so that the host's name tells nothing."""
    settings, network = networked
    plugger = PortPlugger(settings, cloud.session, network, cloud.control)
    old = net.want(attempt=1)
    new = old.model_copy(update={"attempt": 2})
    port_id = old.ports[0].port_id
    cloud.claim(old.instance_id, attempt=2)
    plugger.plug(new, quiet)
    plugger.unplug(old, quiet)
    assert net.port(port_id) and network.describe().ports == {port_id: old.instance_id}
    plugger.unplug(new, quiet)
    assert net.port(port_id) is None and network.describe().ports == {}


def test_filters_from_neutrons_own_api_are_the_embedded_services(cloud: Cloud, net: Net, plugger: PortPlugger) -> None:
    """One and the same service answers both ways: by its own route, and by Neutron's ports, groups and rules, which
    only a service user that is no host lists here."""
    nova = service_session(as_service(cloud.settings.model_copy(update={"service_username": ""}), "nova"))
    api, call = Service(nova, NETWORK, "/v2.0", cloud.settings.region), net.demo.call
    front, back = (
        call("network", "POST", "/v2.0/security-groups", {"security_group": {"name": name}})["security_group"]["id"]
        for name in ("front", "back")
    )
    for rule in (
        {"security_group_id": front, "protocol": "tcp", "port_range_min": 22, "port_range_max": 22},
        {"security_group_id": front, "protocol": "icmp", "remote_ip_prefix": "10.0.0.0/8"},
        {"security_group_id": back, "protocol": "udp", "remote_group_id": front},
        {"security_group_id": back, "remote_group_id": back},
    ):
        body = {"direction": "ingress", "ethertype": "IPv4", **rule}
        call("network", "POST", "/v2.0/security-group-rules", {"security_group_rule": body})
    pair = [{"ip_address": "10.77.0.0/24"}]
    plugger.plug(net.want(security_groups=[front, back]), quiet)
    other = call(
        "network",
        "POST",
        "/v2.0/ports",
        {"port": {"network_id": net.network_id, "security_groups": [front], "allowed_address_pairs": pair}},
    )["port"]
    mine = neutron_filters.of_host(api, HOST)
    theirs = _without_sets(api.ask("GET", "/kilonova/topology", params={"host": HOST}).json())
    remotes = [ip for port in mine for rule in port["rules"] for ip in rule["remote_ips"] or []]
    assert {"10.0.0.0/8", "10.77.0.0/24", f"{other['fixed_ips'][0]['ip_address']}/32"} <= set(remotes)

    def filters(ports: list[Any]) -> list[str]:
        parsed = [PortFilter.model_validate(port) for port in ports]
        return sorted(
            repr((port.model_dump(exclude={"rules"}), sorted({repr(rule) for rule in port.rules}))) for port in parsed
        )

    assert filters(mine) == filters(theirs)
    call("network", "DELETE", f"/v2.0/ports/{other['id']}")


def test_what_a_host_may_not_see_is_not_taken_for_none(cloud: Cloud, net: Net) -> None:
    """Neutron 29 shows a user with the role service neither the groups of others nor a network's physical network."""
    group = net.demo.call("network", "POST", "/v2.0/security-groups", {"security_group": {"name": "mine"}})
    api, known = Service(cloud.session, NETWORK, "/v2.0", cloud.settings.region), group["security_group"]["id"]
    neutron_filters._must_be_seen(api, [known])
    with pytest.raises(Unexpected, match=f"does not show this host security group {net.network_id}"):
        neutron_filters._must_be_seen(api, [known, net.network_id])
    with pytest.raises(ApplicationError, match="does not tell this host the physical network"):
        bindings.physical_network({"id": net.network_id})
    net.demo.call("network", "DELETE", f"/v2.0/security-groups/{known}")


def _without_sets(topology: dict[str, Any]) -> list[dict[str, Any]]:
    """Its ports, with the members of each set in the place of its name."""
    for rule in (rule for port in topology["ports"] for rule in port["rules"] if rule["remote_set"]):
        mark = "." if rule["ethertype"] == "IPv4" else ":"
        rule["remote_ips"] = [prefix for prefix in topology["sets"][rule.pop("remote_set")] if mark in prefix]
    return list(topology["ports"])


def test_a_port_that_nobody_could_bind_is_not_plugged(
    cloud: Cloud, net: Net, networked: tuple[Settings, HostNetwork]
) -> None:
    """Mechanism: bindings.bridge_name. Neutron says binding_failed of a card that no host here has."""
    settings, network = networked
    with cloud.user("admin") as admin:
        body = {"network_id": net.network_id, "binding:vnic_type": "direct", "project_id": net.demo.project_id}
        own = admin.call("network", "POST", "/v2.0/ports", {"port": body})["port"]["id"]
    want = net.want(PortRequest(port_id=own, mine=False))
    with pytest.raises(ApplicationError) as failure:
        PortPlugger(settings, cloud.session, network).plug(want, quiet)
    assert failure.value.type == HOST_CANNOT
    assert failure.value.message == f"Binding failed for port {own}, please check neutron logs for more information."
    assert network.describe().ports == {}
    PortPlugger(settings, cloud.session, network).unplug(want, quiet)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"binding:vif_type": "bridge", "binding:vif_details": {"bridge_name": "br-theirs"}}, "br-theirs"),
        ({"binding:vif_type": "bridge", "binding:vif_details": {"port_filter": False}}, ""),
        ({"binding:vif_type": "ovs", "binding:vif_details": {"bridge_name": "br-int"}}, "Unexpected vif_type=ovs"),
        ({"binding:vif_type": "unbound", "binding:vif_details": {}}, "Unexpected vif_type=unbound"),
        ({}, "does not tell this host"),
    ],
)
def test_a_binding_names_the_bridge_or_is_refused(told: dict[str, Any], expected: str) -> None:
    """What a real Neutron may say and the embedded service does not."""
    try:
        found = bindings.bridge_name({"id": "a-port", **told})
    except ApplicationError as error:
        assert error.type == HOST_CANNOT and expected and expected in error.message
    else:
        assert found == expected


def test_missing_physical_network_is_this_hosts_failure(
    cloud: Cloud, net: Net, networked: tuple[Settings, HostNetwork]
) -> None:
    settings, network = networked
    with cloud.user("admin") as admin:
        body = {"name": "flat", "shared": True, "provider:network_type": "flat"}
        flat = admin.call(
            "network", "POST", "/v2.0/networks", {"network": body | {"provider:physical_network": "elsewhere"}}
        )["network"]["id"]
        subnet = {"network_id": flat, "ip_version": 4, "cidr": "10.77.0.0/24"}
        admin.call("network", "POST", "/v2.0/subnets", {"subnet": subnet})
        want = net.want(PortRequest(port_id=new_id(), network_id=flat))
        with pytest.raises(ApplicationError) as failure:
            PortPlugger(settings, cloud.session, network).plug(want, quiet)
        assert failure.value.type == HOST_CANNOT and HOST in failure.value.message
        PortPlugger(settings, cloud.session, network).unplug(want, quiet)
        admin.call("network", "DELETE", f"/v2.0/networks/{flat}")


def test_a_service_that_came_to_the_catalog_after_the_token_is_found_by_the_next_try(cloud: Cloud) -> None:
    """Mechanism: Service._found. A worker that was started before the network service was registered waited for its
    token to end, an hour, while builds tried again and again."""
    session = service_session(cloud.settings)
    token = session.auth.get_access(session)._data["token"]
    token["catalog"] = [service for service in token["catalog"] if service["type"] != NETWORK]
    api = Service(session, NETWORK, "/v2.0", cloud.settings.region)
    with pytest.raises(Unexpected, match="EndpointNotFound"):
        api.request("GET", "/networks")
    assert api.request("GET", "/networks").status_code == 200
