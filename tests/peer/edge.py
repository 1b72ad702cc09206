"""What is asked at the edge: versions, tokens, methods, types of content, and Placement's reads."""

from collections.abc import Iterator
from itertools import product

from tests.peer.asks import NOBODY, Ask

ROUTES = {
    "compute": ("/v2.1/servers", "/v2.1/servers/{server}", "/v2.1/servers/detail", "/v2.1/flavors",
        "/v2.1/flavors/peer-a", "/v2.1/os-keypairs",
                "/v2.1/os-keypairs/peer-key", "/v2.1/limits", "/v2.1/os-services", "/v2.1/servers/{server}/action",
                    "/v2.1/servers/{server}/metadata",
                "/v2.1/servers/{server}/tags", "/v2.1/servers/{server}/ips", "/v2.1/os-aggregates",
                    "/v2.1/os-aggregates/{aggregate}",
                "/v2.1/os-server-groups", "/v2.1/os-server-groups/{together}", "/v2.1/os-hypervisors",
                    "/v2.1/os-hypervisors/{hypervisor}",
                "/v2.1/os-quota-sets/{member_project}", "/v2.1/os-availability-zone", "/v2.1/os-migrations",
                    "/v2.1/servers/{server}/os-interface",
                "/v2.1/servers/{server}/os-interface/{port}", "/v2.1/servers/{server}/os-volume_attachments",
                    "/v2.1/servers/{server}/os-instance-actions",
                "/v2.1/servers/{server}/remote-consoles", "/v2.1/servers/{server}/metadata/colour",
                    "/v2.1/flavors/peer-a/os-extra_specs",
                "/v2.1/flavors/peer-a/action", "/v2.1/os-simple-tenant-usage", "/v2.1/os-server-external-events",
                    "/v2.1/extensions", "/v2.1/images",
                "/v2.1/os-quota-class-sets/default", "/v2.1/os-hosts", "/v2.1/os-services/{service}", "/v2.1/nonsense",
                    "/v2.1", "/v2.1/", "/", "/v2",
                "/v2/", "/v1", "/v2.1/{member_project}/servers", "/v2.1/nonsense/servers", "/v2.1/servers/",
                    "/v2.1//servers", "/v2.1/servers.json",
                "/v2.1/servers/{server}.json"),
    "network": ("/v2.0/networks", "/v2.0/networks/{network}", "/v2.0/ports", "/v2.0/security-group-rules/{rule}",
        "/v2.0/routers/{router}",
                "/v2.0/routers/{router}/add_router_interface", "/v2.0/quotas", "/v2.0/quotas/{member_project}",
                    "/v2.0/agents", "/v2.0/extensions",
                "/v2.0/networks/{network}/tags", "/v2.0/availability_zones", "/v2.0/nonsense", "/", "/v2.0", "/v2.0/",
                    "/v1.0", "/v3", "/v2.0/networks/",
                "/v2.0//networks"),
    "placement": ("/", "/resource_providers", "/resource_providers/{hypervisor}", f"/resource_providers/{NOBODY}",
        "/resource_providers/x",
                  "/resource_providers/{hypervisor}/inventories", "/resource_providers/{hypervisor}/inventories/VCPU",
                  "/resource_providers/{hypervisor}/inventories/NONE", "/resource_providers/{hypervisor}/usages",
                  "/resource_providers/{hypervisor}/aggregates", "/resource_providers/{hypervisor}/traits",
                      "/resource_providers/{hypervisor}/allocations",
                  f"/resource_providers/{NOBODY}/inventories", f"/resource_providers/{NOBODY}/usages",
                      f"/resource_providers/{NOBODY}/traits",
                  "/allocations/{server}", f"/allocations/{NOBODY}", "/resource_classes", "/resource_classes/VCPU",
                      "/resource_classes/NONE", "/traits",
                  "/traits/HW_CPU_X86_AVX", "/traits/NONE", "/usages?project_id={member_project}", "/usages",
                      "/nonsense",
                  "/allocation_candidates?resources=VCPU:1", "/allocation_candidates",
                      "/allocation_candidates?resources=x",
                  "/allocation_candidates?resources=VCPU:0", "/allocation_candidates?resources=NONE:1",
                      "/allocation_candidates?resources=VCPU:99999",
                  "/allocation_candidates?resources=VCPU:1&limit=x", "/allocation_candidates?resources=VCPU:1&limit=1",
                  "/allocation_candidates?resources=VCPU:1&nonsense=1",
                      "/allocation_candidates?resources=VCPU:1&required=NONE",
                  "/resource_providers?name={host}", "/resource_providers?name=x", "/resource_providers?uuid=x",
                      f"/resource_providers?uuid={NOBODY}",
                  "/resource_providers?resources=VCPU:1", "/resource_providers?resources=x",
                      "/resource_providers?member_of=x",
                  "/resource_providers?in_tree=x", "/resource_providers?nonsense=1",
                      "/resource_providers?required=NONE", "/traits?name=x",
                  "/traits?name=in:HW_CPU_X86_AVX", "/traits?name=startswith:HW_CPU_X86_AVX5",
                      "/traits?associated=true", "/traits?associated=x",
                  "/traits?nonsense=1", "/usages?project_id=x&user_id=y", "/usages?project_id=x&nonsense=1"),
}  # fmt: skip
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
VERSIONS = (
    "2.0",
    "2.1",
    "2.93",
    "2.200",
    "3.0",
    "1.1",
    "0.0",
    "latest",
    "x",
    "2",
    "2.",
    "2.01",
    "2.x",
    " 2.1",
    "-2.1",
    "2.1.1",
    "",
)
PLACEMENT = ("", "1.0", "1.5", "1.10", "1.20", "1.29", "1.35", "1.39", "1.99", "x", "latest")


def asks() -> Iterator[Ask]:
    for path, method in product(ROUTES["compute"], METHODS):
        if method != "DELETE" or path.endswith(("servers", "keypairs", "flavors", "nonsense", "/")):
            yield Ask("methods", method, path, {} if method in ("POST", "PUT", "PATCH") else None)
    for path, method in product(ROUTES["network"], METHODS):
        if method != "DELETE" or "{" not in path:
            yield Ask("methods", method, path, {} if method in ("POST", "PUT", "PATCH") else None, service="network")
    yield from _versions()
    yield from _tokens()
    for path, version, who in product(ROUTES["placement"], PLACEMENT, ("admin", "member")):
        yield Ask("placement", "GET", path, who=who, service="placement", version=version)
    for accept in (
        "application/json",
        "text/html",
        "application/xml",
        "*/*",
        "x",
        "application/json;q=0.1, text/plain",
        "",
    ):
        for service, path in (("compute", "/v2.1/servers"), ("network", "/v2.0/networks"), ("compute",
            "/v2.1/servers/x"),
                              ("network", "/v2.0/networks/x"), ("placement", "/resource_providers/x")):  # fmt: skip
            yield Ask("types of content", "GET", path, who="admin", service=service, headers={"Accept": accept})


def _versions() -> Iterator[Ask]:
    for path, version in product(
        ("/v2.1/servers", "/v2.1/", "/", "/v2.1/nonsense", "/v2.1/servers/x", "/v2/servers", "/v2/"), VERSIONS
    ):
        yield Ask("versions", "GET", path, headers={"OpenStack-API-Version": f"compute {version}"})
        yield Ask("versions", "GET", path, headers={"X-OpenStack-Nova-API-Version": version})
    for value in (
        "compute",
        "2.1",
        "compute 2.1, volume 3.0",
        "volume 3.0",
        "volume 3.0, compute 2.10",
        "nova 2.1",
        "compute 2.1,compute 2.2",
        ",",
    ):
        yield Ask("versions", "GET", "/v2.1/servers", headers={"OpenStack-API-Version": value})
    both = {"OpenStack-API-Version": "compute 2.10", "X-OpenStack-Nova-API-Version": "2.20"}
    yield Ask("versions", "GET", "/v2.1/servers", headers=both)
    for service, path in (("compute", "/"), ("compute", "/v2.1"), ("compute", "/v2.1/"), ("compute", "/v2"), ("compute",
        "/v2/"), ("network", "/"),
                          ("network", "/v2.0"), ("network", "/v2.0/"), ("placement", "/"), ("placement",
                              "")):  # fmt: skip
        for who in ("member", "nobody"):
            yield Ask("versions", "GET", path, who=who, service=service)


def _tokens() -> Iterator[Ask]:
    for service, paths in ROUTES.items():
        for path in paths[:14]:
            for token in ("", "nonsense", "x" * 300, "gAAAAABnonsense"):
                yield Ask("tokens", "GET", path, who="nobody", service=service, headers={"X-Auth-Token": token})
            yield Ask("tokens", "POST", path, {}, who="nobody", service=service)
