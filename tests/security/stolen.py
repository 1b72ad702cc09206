"""The doors of a stolen host: what may be tried with the credential of one compute host at everything of another."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.compute.test_hosts import REPORT
from tests.security.cloud import Cloud, User

UNKNOWN = "b5d5dbb1-7bf5-4f9e-8b9a-5a5ad0b5bb6b"


@dataclass(frozen=True)
class Door:
    """One request. It is shut when the answer is 401, 403 or 404."""

    service: str
    method: str
    path: str
    body: Any = None

    def open_to(self, caller: User) -> bool:
        return caller.send(self.service, self.method, self.path, self.body).status_code not in (401, 403, 404)

    def __str__(self) -> str:
        return f"{self.service} {self.method} {self.path}"


def as_host(host: str, server: str) -> Iterator[Door]:
    """What is said and asked in a host's name."""
    compute = f"/v2.1/kilonova/hosts/{host}"
    events = {"events": [{"instance_id": server, "power_state": 4, "reason": "x"}]}
    yield Door("compute", "PUT", compute, {"host": REPORT})
    yield Door("compute", "GET", f"{compute}/claims")
    yield Door("compute", "GET", f"{compute}/claims/{server}")
    yield Door("compute", "POST", f"{compute}/instances", {"instances": [server]})
    yield Door("compute", "POST", f"{compute}/events", events)
    yield Door("network", "PUT", f"/v2.0/kilonova/hosts/{host}", {"tunnel_ip": "10.0.0.9"})
    yield Door("network", "GET", f"/v2.0/kilonova/topology?host={host}")


def of_others(cloud: Cloud, host: str) -> Iterator[Door]:
    """Servers, volumes, networks, images and users that a host has no business with. `host`: another one."""
    server, volume = cloud.servers[host]["id"], cloud.volumes[host]
    yield from _servers(server)
    yield from _networks(cloud)
    attached = cloud.admin.ok("volume", "GET", f"/v3/volumes/{volume}")["volume"]["attachments"][0]["attachment_id"]
    told = {
        "os-force_delete": {},
        "os-reset_status": {"status": "error"},
        "os-force_detach": {"attachment_id": attached},
    }
    for action, words in told.items():
        yield Door("volume", "POST", f"/v3/volumes/{volume}/action", {action: words})
    snapshot = {"snapshot": {"volume_id": volume, "force": True}}
    yield Door("volume", "POST", "/v3/snapshots", snapshot)
    connector = {"attachment": {"volume_uuid": volume, "instance_uuid": server, "connector": {"host": host}}}
    yield Door("volume", "POST", "/v3/attachments", connector)
    image = f"/v2/images/{cloud.image}"
    yield Door("image", "GET", "/v2/images")
    yield Door("image", "DELETE", image)
    yield Door("image", "PUT", f"{image}/file", b"x")
    yield Door("image", "POST", f"{image}/actions/deactivate")
    yield Door("image", "POST", f"{image}/members", {"member": UNKNOWN})
    yield from _people(cloud)


def _servers(server: str) -> Iterator[Door]:
    path = f"/v2.1/servers/{server}"
    yield Door("compute", "GET", "/v2.1/servers/detail?all_tenants=1")
    yield Door("compute", "GET", path)
    yield Door("compute", "DELETE", path)
    for action in ("os-stop", "os-getConsoleOutput", "createImage", "rebuild"):
        yield Door("compute", "POST", f"{path}/action", {action: {"name": "x", "imageRef": UNKNOWN}})
    console = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
    yield Door("compute", "POST", f"{path}/remote-consoles", console)
    yield Door("compute", "GET", f"{path}/os-server-password")
    gone = {"events": [{"name": "network-vif-deleted", "server_uuid": server, "tag": UNKNOWN}]}
    yield Door("compute", "POST", "/v2.1/os-server-external-events", gone)
    yield Door("compute", "POST", "/v2.1/kilonova/consoles", {"token": "x"})
    for listed in ("os-services", "os-hypervisors", "os-aggregates", "os-migrations"):
        yield Door("compute", "GET", f"/v2.1/{listed}")
    yield Door("compute", "POST", "/v2.1/flavors", {"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 0}})
    yield Door("compute", "PUT", f"/v2.1/os-services/{UNKNOWN}", {"status": "disabled"})


def _networks(cloud: Cloud) -> Iterator[Door]:
    project = cloud.admin.project_id
    yield Door("network", "PUT", f"/v2.0/networks/{cloud.network}", {"network": {"name": "x"}})
    yield Door("network", "DELETE", f"/v2.0/networks/{cloud.network}")
    for kind in ("network", "router", "security_group"):
        made = {"name": "x", "tenant_id": project}
        yield Door("network", "POST", f"/v2.0/{kind.replace('_', '-')}s", {kind: made})
    groups = cloud.admin.ok("network", "GET", f"/v2.0/security-groups?project_id={project}")["security_groups"]
    rule = {"security_group_id": groups[0]["id"], "direction": "ingress"}
    yield Door("network", "POST", "/v2.0/security-group-rules", {"security_group_rule": rule})
    yield Door("network", "GET", f"/v2.0/quotas/{project}")
    yield Door("network", "PUT", f"/v2.0/quotas/{project}", {"quota": {"port": 1}})


def _people(cloud: Cloud) -> Iterator[Door]:
    admin, project = cloud.admin.id, cloud.admin.project_id
    yield Door("identity", "GET", "/v3/users")
    yield Door("identity", "GET", f"/v3/users/{admin}")
    yield Door("identity", "PATCH", f"/v3/users/{admin}", {"user": {"password": "hunter2-hunter2"}})
    yield Door("identity", "POST", "/v3/users", {"user": {"name": "x"}})
    yield Door("identity", "GET", "/v3/role_assignments")
    yield Door("identity", "GET", f"/v3/users/{admin}/application_credentials")
    yield Door("identity", "GET", f"/v3/users/{admin}/credentials/OS-EC2")
    yield Door("identity", "PUT", f"/v3/projects/{project}/users/{admin}/roles/{UNKNOWN}")
    service = cloud.admin.ok("identity", "GET", "/v3/services")["services"][0]["id"]
    moved = {"interface": "public", "url": "http://127.0.0.1", "service_id": service}
    yield Door("identity", "POST", "/v3/endpoints", {"endpoint": moved})


LISTS = (
    *(
        ("network", f"/v2.0/{kind}")
        for kind in ("ports", "networks", "subnets", "routers", "security-groups", "agents")
    ),
    *(("volume", f"/v3/{kind}?all_tenants=1") for kind in ("volumes", "volumes/detail", "snapshots", "attachments")),
)
"""Lists that answer anybody, with what is the caller's."""


def listed(caller: User, service: str, path: str) -> set[str]:
    """Ids of what a list shows to the caller."""
    found = caller.ok(service, "GET", path)
    return {each["id"] for rows in found.values() for each in rows if isinstance(each, dict) and "id" in each}


def stolen(cloud: Cloud, other: str) -> list[Door]:
    """Every door at what belongs to the host `other`: they must be shut to any host but that."""
    return [*as_host(other, cloud.servers[other]["id"]), *of_others(cloud, other)]
