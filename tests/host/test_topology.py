"""From the network service's API to packets: what a tenant asks for is what the host's data plane does."""

import time
from pathlib import Path

from tests.host.place import Place
from tests.hostnet.conftest import StandIn, ip, pings, reaches

OUTSIDE = "203.0.113.99"


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


def test_what_a_tenant_changes_of_a_subnet_or_port_reaches_the_guest_that_asks_next(
    place: Place, tmp_path: Path
) -> None:
    """Name servers, routes, MTU and the port's address: each by the API, and in the lease after the next poll."""
    place.poll()
    inner = place.make("network", name="inner")
    subnet = place.make(
        "subnet", network_id=inner["id"], cidr="10.6.0.0/24", ip_version=4, dns_nameservers=["192.0.2.1"]
    )
    guest = place.guest(inner)
    place.poll()

    def change(path: str, kind: str, **fields: object) -> dict[str, str]:
        place.tenant.call("network", "PUT", f"/v2.0/{path}", {kind: fields})
        assert place.poll()
        ip(guest.ns, "address", "flush", "dev", "eth0")
        return guest.dhcp(tmp_path)

    ip(guest.ns, "address", "flush", "dev", "eth0")
    assert guest.dhcp(tmp_path)["dns"] == "192.0.2.1"
    route = {"destination": "198.51.100.0/24", "nexthop": "10.6.0.9"}
    lease = change(f"subnets/{subnet['id']}", "subnet", dns_nameservers=["192.0.2.2"], host_routes=[route])
    assert lease["dns"] == "192.0.2.2" and lease["staticroutes"].startswith("198.51.100.0/24 10.6.0.9")
    assert change(f"networks/{inner['id']}", "network", mtu=1300)["mtu"] == "1300"
    fixed = [{"subnet_id": subnet["id"], "ip_address": "10.6.0.77"}]
    assert change(f"ports/{guest.plug.port_id}", "port", fixed_ips=fixed)["ip"] == "10.6.0.77"
    assert change(f"subnets/{subnet['id']}", "subnet", enable_dhcp=False) == {}
