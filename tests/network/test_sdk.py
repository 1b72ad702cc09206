"""openstacksdk, unmodified: what Terraform-like tools and Ansible's modules do with the network service."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import openstack
import pytest
from openstack.connection import Connection

from tests.network.conftest import Api, Cloud
from tests.signed_in import environment


@pytest.fixture(scope="module")
def sdk(cloud: Cloud) -> Iterator[Callable[[str], Connection]]:
    made: dict[str, Connection] = {}

    def connect(user: str) -> Connection:
        if user not in made:
            named = environment(cloud.settings, user)
            names = ("auth_url", "username", "password", "project_name", "user_domain_name", "project_domain_name")
            options = {name: named[f"OS_{name.upper()}"] for name in names if f"OS_{name.upper()}" in named}
            defaults = {"user_domain_name": "Default", "project_domain_name": "Default"}
            made[user] = openstack.connect(
                load_envvars=False, load_yaml_config=False, region_name="RegionOne", **(defaults | options)
            )
        return made[user]

    yield connect
    for connection in made.values():
        connection.close()


def test_a_tenant_builds_a_network_with_a_way_out(
    sdk: Callable[[str], Connection], admin: Api, provider: Callable[..., Any]
) -> None:
    outside = provider(shared=False)
    admin.subnet(outside, "203.0.113.0/24")
    network = sdk("demo").network
    name = f"sdk-{uuid.uuid4().hex[:8]}"
    net = network.create_network(name=name)
    network.set_tags(net, ["blue", "green"])
    assert network.get_network(net.id).tags == ["blue", "green"]
    assert [one.id for one in network.networks(tags="blue,green")] == [net.id]
    four = network.create_subnet(network_id=net.id, ip_version=4, cidr="10.1.0.0/24", name=name)
    six = network.create_subnet(
        network_id=net.id, ip_version=6, cidr="fd00:1::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac"
    )
    router = network.create_router(name=name, external_gateway_info={"network_id": outside["id"]})
    for subnet in (four, six):
        network.add_interface_to_router(router, subnet_id=subnet.id)
    network.add_extra_routes_to_router(
        router, {"router": {"routes": [{"destination": "10.9.0.0/16", "nexthop": "10.1.0.9"}]}}
    )
    assert network.get_router(router.id).routes == [{"destination": "10.9.0.0/16", "nexthop": "10.1.0.9"}]
    port = network.create_port(network_id=net.id, name=name)
    assert len(port.fixed_ips) == 2
    address = network.create_ip(floating_network_id=outside["id"], port_id=port.id)
    assert address.router_id == router.id and network.find_available_ip() is None
    network.update_ip(address, port_id=None)
    available = network.find_available_ip()
    assert available is not None and available.id == address.id
    forwarding = network.create_floating_ip_port_forwarding(
        address,
        internal_port_id=port.id,
        internal_ip_address="10.1.0.2",
        internal_port=22,
        external_port=2222,
        protocol="tcp",
    )
    assert [one.id for one in network.floating_ip_port_forwardings(address)] == [forwarding.id]
    network.delete_floating_ip_port_forwarding(address, forwarding)
    network.delete_ip(address)
    network.delete_port(port)
    network.update_router(router, routes=[])
    for subnet in (four, six):
        network.remove_interface_from_router(router, subnet_id=subnet.id)
    network.delete_router(router)
    network.delete_network(net)
    assert network.find_network(name) is None


def test_groups_trunks_pools_and_sharing(sdk: Callable[[str], Connection], other: Api) -> None:
    network = sdk("demo").network
    name = f"sdk-{uuid.uuid4().hex[:8]}"
    addresses = network.create_address_group(name=name, addresses=["192.0.2.0/24"])
    network.add_addresses_to_address_group(addresses, ["198.51.100.0/24"])
    group = network.create_security_group(name=name, stateful=False)
    rule = network.create_security_group_rule(
        security_group_id=group.id, direction="ingress", protocol="tcp", remote_address_group_id=addresses.id
    )
    assert rule.remote_address_group_id == addresses.id
    pool = network.create_subnet_pool(name=name, prefixes=["10.64.0.0/16"], default_prefixlen=24)
    net = network.create_network(name=name)
    subnet = network.create_subnet(network_id=net.id, ip_version=4, subnet_pool_id=pool.id)
    assert subnet.cidr == "10.64.0.0/24"
    policy = network.create_rbac_policy(
        object_type="network", object_id=net.id, action="access_as_shared", target_project_id=other.project_id
    )
    assert other.get(f"/networks/{net.id}")["network"]["shared"] is True
    parent, child = (network.create_port(network_id=net.id, name=name) for _ in range(2))
    trunk = network.create_trunk(port_id=parent.id, name=name)
    network.add_trunk_subports(trunk, [{"port_id": child.id, "segmentation_type": "vlan", "segmentation_id": 100}])
    assert [one["port_id"] for one in network.get_trunk_subports(trunk)["sub_ports"]] == [child.id]
    assert network.get_port(parent.id).trunk_details["trunk_id"] == trunk.id
    network.delete_trunk_subports(trunk, [{"port_id": child.id}])
    network.delete_trunk(trunk)
    network.delete_rbac_policy(policy)
    for port in (parent, child):
        network.delete_port(port)
    network.delete_network(net)
    network.delete_subnet_pool(pool)
    network.delete_security_group(group)
    network.delete_address_group(addresses)


def test_what_an_operator_does(sdk: Callable[[str], Connection], cloud: Cloud, demo: Api) -> None:
    network = sdk("admin").network
    name = f"host-{uuid.uuid4().hex[:8]}"
    assert cloud.service.http.put(f"/kilonova/hosts/{name}", json={}).status_code == 204
    (agent,) = network.agents(host=name)
    assert agent.is_alive
    network.update_agent(agent, description="d")
    assert {zone.name for zone in network.availability_zones()} == {"nova"}
    policy = network.create_qos_policy(name=name, shared=True)
    limit = network.create_qos_bandwidth_limit_rule(policy, max_kbps=1000, direction="ingress")
    assert [one.id for one in network.qos_bandwidth_limit_rules(policy)] == [limit.id]
    network.delete_qos_bandwidth_limit_rule(limit, policy)
    network.delete_qos_policy(policy)
    network.update_quota(demo.project_id, ports=7, check_limit=True)
    assert network.get_quota(demo.project_id, details=True).ports["limit"] == 7
    network.delete_quota(demo.project_id)
    net = demo.network()
    demo.subnet(net)
    assert network.find_network_ip_availability(net["id"]).total_ips == 253
    aliases = {extension.alias for extension in network.extensions()}
    assert {"router", "trunk", "standard-attr-tag", "extraroute-atomic", "qos"} <= aliases
