"""Domain specifications for tests."""

from typing import Any

from infra.contracts.hypervisor import DomainSpec, FlavorFacts, GuestConfig
from infra.contracts.network import FixedIp, Vif


def spec(instance_id: str, attempt: int = 1, **more: Any) -> DomainSpec:
    facts: dict[str, Any] = {
        "name": "web <1> & more",
        "project_id": "p" * 32,
        "user_id": "u" * 32,
        "flavor": FlavorFacts(id="1", name="m1.nano", vcpus=1, ram=64),
        "guest": GuestConfig(hostname="web-1"),
    }
    return DomainSpec(instance_id=instance_id, attempt=attempt, **(facts | more))


def vif(port_id: str = "0b3e3a2e-0000-4000-8000-000000000001", **more: Any) -> Vif:
    fixed = FixedIp(
        ip_address="203.0.113.104",
        subnet_id="5a1e3a2e-0000-4000-8000-000000000001",
        cidr="203.0.113.0/24",
        gateway_ip="203.0.113.1",
        dns_nameservers=["8.8.4.4"],
        host_routes=[{"destination": "10.0.0.0/8", "nexthop": "203.0.113.9"}],
    )
    facts: dict[str, Any] = {
        "port_id": port_id,
        "network_id": "7c1e3a2e-0000-4000-8000-000000000001",
        "label": "provider",
        "mac_address": "fa:16:3e:00:00:01",
        "tap": f"tap{port_id[:11]}",
        "bridge": "br-provider",
        "fixed_ips": [fixed],
    }
    return Vif(**(facts | more))
