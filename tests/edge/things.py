"""Things of one member in every service, by the names of the routes' parameters."""

import uuid
from typing import Any

import httpx

from infra.tables.compute import Allocation, ComputeNode
from infra.tables.grouping import Aggregate, ServerGroup
from tests.compute.conftest import HTTP, Api, Cloud

Ids = dict[str, dict[str, str]]


def made_by(cloud: Cloud, owner: Api) -> Ids:
    _give_room(cloud, owner)

    def post(http: httpx.Client, service: str, path: str, **body: Any) -> str:
        answer = http.post(cloud.settings.url(service, path), json=body)
        assert answer.is_success, answer.text
        (made,) = answer.json().values()
        return str(made["id"])

    with httpx.Client(headers={"X-Auth-Token": owner.token}, **HTTP) as http:
        network = post(http, "network", "/v2.0/networks", network={"name": "edge"})
        about = {"network_id": network, "cidr": "192.0.2.0/24", "ip_version": 4}
        subnet = post(http, "network", "/v2.0/subnets", subnet=about)
        port = post(http, "network", "/v2.0/ports", port={"network_id": network})
        group = post(http, "network", "/v2.0/security-groups", security_group={"name": "edge"})
        rules = http.get(cloud.settings.url("network", f"/v2.0/security-group-rules?security_group_id={group}"))
        rule = rules.json()["security_group_rules"][0]["id"]
        router = post(http, "network", "/v2.0/routers", router={"name": "edge"})
        trunk = post(http, "network", "/v2.0/trunks", trunk={"port_id": port})
        pool = post(http, "network", "/v2.0/subnetpools", subnetpool={"name": "edge", "prefixes": ["10.9.0.0/16"]})
        scope = post(http, "network", "/v2.0/address-scopes", address_scope={"name": "edge", "ip_version": 4})
        addresses = post(http, "network", "/v2.0/address-groups", address_group={"addresses": ["192.0.2.0/24"]})
        share = {"object_type": "address_group", "object_id": addresses, "action": "access_as_shared"}
        policy = post(http, "network", "/v2.0/rbac-policies", rbac_policy=share | {"target_tenant": "somebody"})
        volume = post(http, "volume", "/v3/volumes", volume={"size": 1})
    host = "edge-host"
    with cloud.database.read() as session:
        from api.compute.records.hosts import compute_service

        known = compute_service(session, host)
    whose = {"project_id": owner.project_id, "user_id": owner.user_id}
    together = ServerGroup(id=str(uuid.uuid4()), name="edge", policy="affinity", **whose)
    aggregate = Aggregate(uuid=str(uuid.uuid4()), name=f"edge-{together.id}")
    server, provider = cloud.server(owner, host=host), str(uuid.uuid4())
    held = {"vcpus": 1, "memory_mb": 64, "disk_gb": 1}
    with cloud.database.write() as session:
        session.add_all([together, aggregate])
        if (node := session.get(ComputeNode, host)) is None:
            session.add(node := ComputeNode(host=host, id=provider, **held))
        session.add(Allocation(consumer_id=server, instance_id=server, host=host, attempt=1, **held))
        provider = node.id
    return {
        "compute": {"server_id": server, "flavor_id": "tiny", "project_id": owner.project_id,
                    "key": "key", "service_id": known.id if known else cloud.host(host), "host": host,
                    "user_id": owner.user_id, "group_id": together.id, "aggregate_id": str(aggregate.id)},
        "placement": {"uuid": provider, "consumer_uuid": server, "resource_class": "VCPU", "name": "VCPU"},
        "network": {"network_id": network, "subnet_id": subnet, "port_id": port, "group_id": group, "rule_id": rule,
                    "project_id": owner.project_id, "resource": "networks", "collection": "networks",
                    "resource_id": network, "tag": "blue",
                    "router_id": router, "trunk_id": trunk, "subnetpool_id": pool, "pool_id": pool,
                    "address_scope_id": scope, "address_group_id": addresses, "rbac_policy_id": policy},
        "volume": {"volume_id": volume, "object_id": volume, "project_id": owner.project_id, "key": "key"},
    }  # fmt: skip


def _give_room(cloud: Cloud, owner: Api) -> None:
    """Room in the network and volume services: requests of the tests before took it, and took limits back."""
    headers = {"X-Auth-Token": cloud.user("admin").token}
    url = cloud.settings.url("network", f"/v2.0/quotas/{owner.project_id}")
    limits = dict.fromkeys(httpx.get(url, headers=headers, **HTTP).json()["quota"], -1)
    httpx.put(url, json={"quota": limits}, headers=headers, **HTTP).raise_for_status()
    url = cloud.settings.url("volume", f"/v3/os-quota-sets/{owner.project_id}")
    room = {"volumes": 500, "snapshots": 500, "gigabytes": 5000}
    httpx.put(url, json={"quota_set": room}, headers=headers, **HTTP).raise_for_status()
