"""What both clouds hold before they are asked: the same things, made by the same requests, by the same names."""

import json
import time
from typing import Any

from tests.peer.clouds import Cloud

KEY = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDSmUVP3ReFo4qhFmOWzGdNEcKvbmuUmNq7M2mKjxZaMzSVxmJ4Sy5GvWMbzzBqTG9nUZ4P"
    "Cf3rWdWrNqDpAPtQVLKOLFmwWi9ULJ2M2ZxD0ISkWPjOP2dZ1wvVQpQnQkU5aoVxn1cdVhVxoAF8fVkAXNlIDGwOR4nPpMoFUvfZ0Q== peer"
)
NEWEST = {"OpenStack-API-Version": "compute 2.93"}
FLAVOR = {"ram": 64, "vcpus": 1, "disk": 1}
GENEROUS = {"instances": -1, "cores": -1, "ram": -1, "key_pairs": -1, "server_groups": -1, "server_group_members": -1}
THINGS: list[tuple[str, str, str, str, dict[str, Any]]] = [
    ("flavor", "admin", "compute", "/v2.1/flavors", {"flavor": FLAVOR | {"name": "peer.a", "id": "peer-a"}}),
    ("flavor_b", "admin", "compute", "/v2.1/flavors", {"flavor": FLAVOR | {"name": "peer.b", "id": "peer-b"}}),
    ("private", "admin", "compute", "/v2.1/flavors",
     {"flavor": FLAVOR | {"name": "peer.c", "id": "peer-c", "os-flavor-access:is_public": False}}),
    ("outside", "admin", "network", "/v2.0/networks",
     {"network": {"name": "peer-outside", "router:external": True, "provider:network_type": "flat",
                  "provider:physical_network": "provider"}}),
    ("outside_subnet", "admin", "network", "/v2.0/subnets",
     {"subnet": {"network_id": "{outside}", "ip_version": 4, "cidr": "203.0.113.0/24", "enable_dhcp": False}}),
    ("network", "member", "network", "/v2.0/networks", {"network": {"name": "peer-inside"}}),
    ("subnet", "member", "network", "/v2.0/subnets",
     {"subnet": {"network_id": "{network}", "ip_version": 4, "cidr": "192.0.2.0/24", "name": "peer-subnet"}}),
    ("bare", "member", "network", "/v2.0/networks", {"network": {"name": "peer-bare"}}),
    ("foreign_network", "admin", "network", "/v2.0/networks", {"network": {"name": "peer-foreign"}}),
    ("foreign_subnet", "admin", "network", "/v2.0/subnets",
     {"subnet": {"network_id": "{foreign_network}", "ip_version": 4, "cidr": "198.51.100.0/24"}}),
    ("port", "member", "network", "/v2.0/ports", {"port": {"network_id": "{network}", "name": "peer-port"}}),
    ("free_port", "member", "network", "/v2.0/ports", {"port": {"network_id": "{network}", "name": "peer-free"}}),
    ("parent", "member", "network", "/v2.0/ports", {"port": {"network_id": "{network}", "name": "peer-parent"}}),
    ("child", "member", "network", "/v2.0/ports", {"port": {"network_id": "{network}", "name": "peer-child"}}),
    ("foreign_port", "admin", "network", "/v2.0/ports", {"port": {"network_id": "{foreign_network}"}}),
    ("group", "member", "network", "/v2.0/security-groups", {"security_group": {"name": "peer-group"}}),
    ("rule", "member", "network", "/v2.0/security-group-rules",
     {"security_group_rule": {"security_group_id": "{group}", "direction": "ingress", "protocol": "tcp",
                              "port_range_min": 22, "port_range_max": 22}}),
    ("foreign_group", "admin", "network", "/v2.0/security-groups", {"security_group": {"name": "peer-foreign"}}),
    ("router", "member", "network", "/v2.0/routers",
     {"router": {"name": "peer-router", "external_gateway_info": {"network_id": "{outside}"}}}),
    ("bare_router", "member", "network", "/v2.0/routers", {"router": {"name": "peer-bare"}}),
    ("pool", "member", "network", "/v2.0/subnetpools",
     {"subnetpool": {"name": "peer-pool", "prefixes": ["10.9.0.0/16"], "default_prefixlen": 24}}),
    ("scope", "member", "network", "/v2.0/address-scopes", {"address_scope": {"name": "peer-scope", "ip_version": 4}}),
    ("addresses", "member", "network", "/v2.0/address-groups",
     {"address_group": {"name": "peer-addresses", "addresses": ["192.0.2.0/24"]}}),
    ("share", "member", "network", "/v2.0/rbac-policies",
     {"rbac_policy": {"object_type": "network", "object_id": "{bare}", "action": "access_as_shared",
                      "target_tenant": "{admin_project}"}}),
    ("policy", "admin", "network", "/v2.0/qos/policies", {"policy": {"name": "peer-policy", "shared": True}}),
    ("limit", "admin", "network", "/v2.0/qos/policies/{policy}/bandwidth_limit_rules",
     {"bandwidth_limit_rule": {"max_kbps": 1000}}),
    ("trunk", "member", "network", "/v2.0/trunks", {"trunk": {"port_id": "{parent}", "name": "peer-trunk"}}),
    ("address", "member", "network", "/v2.0/floatingips", {"floatingip": {"floating_network_id": "{outside}"}}),
    ("forwarded", "member", "network", "/v2.0/floatingips", {"floatingip": {"floating_network_id": "{outside}"}}),
    ("together", "member", "compute", "/v2.1/os-server-groups",
     {"server_group": {"name": "peer-together", "policies": ["affinity"]}}),
    ("foreign_together", "admin", "compute", "/v2.1/os-server-groups",
     {"server_group": {"name": "peer-foreign", "policies": ["affinity"]}}),
    ("aggregate", "admin", "compute", "/v2.1/os-aggregates", {"aggregate": {"name": "peer-aggregate"}}),
]  # fmt: skip
SERVERS = {"server": "member", "stopped": "member", "locked": "member", "foreign": "admin"}


def make(cloud: Cloud, without: frozenset[str]) -> None:
    """Everything that requests name by `{name}`, but `without`; servers have come to rest."""
    compute = cloud.ask("admin", "compute", "GET", "/v2.1/os-hypervisors", None, NEWEST).body["hypervisors"][0]
    cloud.ids |= {"hypervisor": compute["id"], "host": compute["hypervisor_hostname"]}
    services = cloud.ask("admin", "compute", "GET", "/v2.1/os-services?binary=nova-compute", None, NEWEST).body[
        "services"
    ]
    cloud.ids |= {"service": services[0]["id"], "service_host": services[0]["host"]}
    _give_room(cloud)
    for name, who, service, path, body in (thing for thing in THINGS if thing[0] not in without):
        made = _post(cloud, who, service, path, body)
        cloud.ids[name] = str(next(iter(made.values()))["id"])
    body = {"keypair": {"name": "peer-key", "public_key": KEY}}
    _post(cloud, "member", "compute", "/v2.1/os-keypairs", body)
    cloud.ids["fingerprint"] = cloud.ask("member", "compute", "GET", "/v2.1/os-keypairs/peer-key", None, {}).body[
        "keypair"]["fingerprint"]  # fmt: skip
    _ask(cloud, "member", "network", "PUT", "/v2.0/routers/{router}/add_router_interface", {"subnet_id": "{subnet}"})
    if "forwarding" not in without:
        _forward(cloud)
    _image(cloud)
    _servers(cloud)


def _forward(cloud: Cloud) -> None:
    forwarding = {"port_forwarding": {"internal_port_id": "{free_port}", "internal_port": 22, "external_port": 22,
                                      "internal_ip_address": _address_of(cloud, "free_port"),
                                          "protocol": "tcp"}}  # fmt: skip
    made = _post(cloud, "member", "network", "/v2.0/floatingips/{forwarded}/port_forwardings", forwarding)
    cloud.ids["forwarding"] = made["port_forwarding"]["id"]


def _give_room(cloud: Cloud) -> None:
    for who in ("admin_project", "member_project"):
        room = GENEROUS | {"metadata_items": 128}
        cloud.ask("admin", "compute", "PUT", f"/v2.1/os-quota-sets/{cloud.ids[who]}",
                  json.dumps({"quota_set": room}).encode(), {})  # fmt: skip
        limits = cloud.ask("admin", "network", "GET", f"/v2.0/quotas/{cloud.ids[who]}", None, {}).body["quota"]
        _ask(cloud, "admin", "network", "PUT", f"/v2.0/quotas/{cloud.ids[who]}",
             {"quota": {name: -1 for name in limits if name not in ("project_id", "tenant_id")}})  # fmt: skip


def _ask(cloud: Cloud, who: str, service: str, method: str, path: str, body: Any) -> Any:
    content = json.dumps(cloud.filled(body)).encode()
    answer = cloud.ask(who, service, method, cloud.filled(path), content, {})
    if answer.status >= 400:
        raise SystemExit(f"{method} {cloud.roots[service]}{cloud.filled(path)}: {answer.status} {answer.body}")
    return answer.body


def _post(cloud: Cloud, who: str, service: str, path: str, body: Any) -> Any:
    return _ask(cloud, who, service, "POST", path, body)


def _address_of(cloud: Cloud, port: str) -> str:
    shown = cloud.ask("member", "network", "GET", cloud.filled(f"/v2.0/ports/{{{port}}}"), None, {}).body
    return str(shown["port"]["fixed_ips"][0]["ip_address"])


def _image(cloud: Cloud) -> None:
    about = {"name": "peer-image", "disk_format": "raw", "container_format": "bare", "visibility": "public"}
    cloud.ids["image"] = _post(cloud, "admin", "image", "/v2/images", about)["id"]
    path = cloud.filled("/v2/images/{image}/file")
    cloud.ask("admin", "image", "PUT", path, bytes(1 << 20), {"Content-Type": "application/octet-stream"})


def _servers(cloud: Cloud) -> None:
    for name, who in SERVERS.items():
        network = (
            {"port": "{port}"}
            if name == "server"
            else {"uuid": "{network}" if who == "member" else "{foreign_network}"}
        )
        about = {"name": f"peer-{name}", "flavorRef": "peer-a", "imageRef": "{image}", "networks": [network],
                 "metadata": {"colour": "blue"}}  # fmt: skip
        made = _post(cloud, who, "compute", "/v2.1/servers", {"server": about})
        cloud.ids[name] = made["server"]["id"]
    for name, who in SERVERS.items():
        wait(cloud, who, name, "ACTIVE")
    act = "/v2.1/servers/{%s}/action"
    _post(cloud, "member", "compute", act % "stopped", {"os-stop": None})
    wait(cloud, "member", "stopped", "SHUTOFF")
    _post(cloud, "member", "compute", act % "locked", {"lock": None})
    path = cloud.filled("/v2.1/servers/{server}/tags/red")
    cloud.ask("member", "compute", "PUT", path, None, {"OpenStack-API-Version": "compute 2.26"})
    path = cloud.filled("/v2.1/servers/{server}/os-instance-actions")
    cloud.ids["request"] = cloud.ask("member", "compute", "GET", path, None, {}).body["instanceActions"][0][
        "request_id"
    ]


def wait(cloud: Cloud, who: str, name: str, status: str) -> None:
    for _ in range(240):
        shown = cloud.ask(who, "compute", "GET", f"/v2.1/servers/{cloud.ids[name]}", None, {}).body["server"]
        if shown["status"] == status:
            return
        if shown["status"] == "ERROR":
            raise SystemExit(f"{cloud.roots['compute']}: {name} is in ERROR: {shown.get('fault')}")
        time.sleep(0.5)
    raise SystemExit(f"{cloud.roots['compute']}: {name} is not {status}: {shown}")
