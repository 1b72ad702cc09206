"""From the network service's API to packets: what a tenant asks for is what the host's data plane does."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from infra.contracts.network import PortRequest, PortsOnHost
from infra.host.network.ports import PortPlugger
from infra.host.network.topology import TopologyPoll
from infra.hostnet.models import PortPlug
from infra.hostnet.network import HostNetwork
from infra.settings import Settings
from tests.host.cloud import Cloud, User, new_id
from tests.hostnet.conftest import StandIn, ip, pings, reaches

OUTSIDE = "203.0.113.99"


class Place:
    """A host that follows the network service, a tenant on it, and a machine outside."""

    def __init__(self, cloud: Cloud, settings: Settings, admin: User, tenant: User) -> None:
        self.cloud, self.settings, self.admin, self.tenant = cloud, settings, admin, tenant
        self.plane = HostNetwork(settings)
        self.poll = TopologyPoll(settings, cloud.session, self.plane)
        self.guests: list[StandIn] = []
        self._made: list[tuple[str, str]] = []

    def make(self, kind: str, *, by: User | None = None, **fields: Any) -> dict[str, Any]:
        path = f"{kind.replace('_', '-')}s"
        body = (by or self.tenant).call("network", "POST", f"/v2.0/{path}", {kind: fields})[kind]
        self._made.append((path, body["id"]))
        return dict(body)

    def guest(self, network: dict[str, Any], *ports: int) -> StandIn:
        """What a build leaves, with a stand-in for the guest that takes the address by hand."""
        plugger = PortPlugger(self.settings, self.cloud.session, self.plane, self.cloud.control)
        instance = self.cloud.claim(new_id())
        want = PortsOnHost(
            instance_id=instance,
            project_id=self.tenant.project_id,
            hostname="guest",
            ports=[PortRequest(port_id=new_id(), network_id=network["id"])],
            attempt=1,
        )
        vif = plugger.plug(want, lambda *_: None).vifs[0]
        plug = PortPlug.model_validate({**vif.model_dump(), "instance_id": instance})
        guest = StandIn(self.settings.netns, plug, vif.bridge)
        guest.configure()
        ip(guest.ns, "route", "add", "default", "via", str(vif.fixed_ips[0].gateway_ip))
        ip(guest.ns, "route", "add", "169.254.169.254", "dev", "eth0")  # as DHCP tells it
        for port in ports:
            guest.listen(port)
        self.guests.append(guest)
        return guest

    def allow(self, guest: StandIn, **rule: Any) -> None:
        port = self.tenant.call("network", "GET", f"/v2.0/ports/{guest.plug.port_id}")["port"]
        body = {"security_group_id": port["security_groups"][0], "direction": "ingress", **rule}
        self.make("security_group_rule", **body)

    def show(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.tenant.call("network", "GET", f"/v2.0/{path}")
        return next(iter(answer.values()))

    def close(self) -> None:
        for path, identifier in self._made:
            if path == "security-group-rules":  # of the tenant's default group, which outlives the test
                self.tenant.call("network", "DELETE", f"/v2.0/{path}/{identifier}")
        for guest in self.guests:
            guest.close()
        self.plane.keep_only([], [])
        for guest in self.guests:
            self.plane.unplug(guest.plug.port_id)
        self.plane.teardown()


@pytest.fixture
def place(cloud: Cloud, host: Settings) -> Iterator[Place]:
    changes = {"netns": f"kp-{uuid.uuid4().hex[:8]}", "host_networking": "kilonova"}
    with cloud.user("admin") as admin, cloud.user("demo") as tenant:
        place = Place(cloud, host.model_copy(update=changes), admin, tenant)
        place.plane.ensure_namespace()
        try:
            yield place
        finally:
            place.close()


def test_a_tenants_router_floating_address_and_forwarding_carry_packets(place: Place) -> None:
    place.poll()
    flat = {"provider:network_type": "flat", "provider:physical_network": "provider", "router:external": True}
    outer = place.make("network", by=place.admin, name="outer", **flat)
    cidr = {"cidr": "203.0.113.0/24", "ip_version": 4, "enable_dhcp": False}
    place.make("subnet", by=place.admin, network_id=outer["id"], **cidr)
    inner = place.make("network", name="inner")
    subnet = place.make("subnet", network_id=inner["id"], cidr="10.6.0.0/24", ip_version=4)
    router = place.make("router", name="r", external_gateway_info={"network_id": outer["id"]})
    place.tenant.call(
        "network", "PUT", f"/v2.0/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]}
    )
    guest = place.guest(inner, 22)
    place.allow(guest, protocol="tcp")
    address = place.make("floatingip", floating_network_id=outer["id"], port_id=guest.plug.port_id)
    shared = place.make("floatingip", floating_network_id=outer["id"])
    second = place.guest(inner, 22)
    forwarding = {"protocol": "tcp", "external_port": 2222, "internal_port": 22}
    forwarding |= {"internal_port_id": second.plug.port_id, "internal_ip_address": second.address}
    path = f"/v2.0/floatingips/{shared['id']}/port_forwardings"
    place.tenant.call("network", "POST", path, {"port_forwarding": forwarding})
    assert place.poll()
    plug = guest.plug.model_copy(update={"mac_address": "fa:16:3e:aa:00:99"})
    machine = StandIn(place.settings.netns, plug, "br-provider", "uplink")
    place.guests.append(machine)
    machine.configure(OUTSIDE)
    machine.listen(443)
    outer_address = router["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
    assert any(pings(machine.ns, outer_address, 1) for _ in range(4)), "once its interface has a carrier"
    assert reaches(guest.ns, OUTSIDE, 443)
    assert reaches(machine.ns, address["floating_ip_address"], 22)
    assert reaches(machine.ns, shared["floating_ip_address"], 2222)
    assert place.show(f"floatingips/{address['id']}")["status"] == "ACTIVE"
    assert place.show(f"routers/{router['id']}")["status"] == "ACTIVE"
    assert place.show(f"ports/{guest.plug.port_id}")["status"] == "ACTIVE"
    place.tenant.call("network", "PUT", f"/v2.0/floatingips/{address['id']}", {"floatingip": {"port_id": None}})
    assert place.poll() and not reaches(machine.ns, address["floating_ip_address"], 22)


def test_a_rule_reaches_the_packets_soon_and_so_does_its_end(place: Place) -> None:
    place.poll()
    inner = place.make("network", name="inner")
    place.make("subnet", network_id=inner["id"], cidr="10.6.0.0/24", ip_version=4)
    one, two = place.guest(inner), place.guest(inner, 80)
    place.poll()
    assert reaches(one.ns, two.address, 80), "the default group trusts its members"
    home = place.plane._store.space_name("net", inner["id"])
    assert not reaches(home, two.address, 80)
    begun = time.monotonic()
    place.allow(two, protocol="tcp", port_range_min=80, port_range_max=80)
    assert place.poll()
    took = time.monotonic() - begun
    assert reaches(home, two.address, 80) and took < 1.0
    path, rule = place._made.pop()
    place.tenant.call("network", "DELETE", f"/v2.0/{path}/{rule}")
    assert place.poll() and not reaches(home, two.address, 80)
