"""The Placement API over hosts and claims; `Contract` looks at each answer."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import delete

from api.placement.call import DATED
from api.placement.routes.read_only import WRITES
from infra.tables.compute import Allocation, ComputeNode, Service
from infra.tables.grouping import Aggregate, AggregateHost
from tests.compute.commands import ran
from tests.compute.conftest import HTTP, Api, Cloud
from tests.compute.placement import ROUTES
from tests.compute.test_schemas import changes

Json = dict[str, Any]
NEWEST = 39


class Placement:
    """One user's calls; each answer has to have the status."""

    def __init__(self, cloud: Cloud, user: Api) -> None:
        self.http = httpx.Client(base_url=cloud.settings.url("placement"), headers={"X-Auth-Token": user.token}, **HTTP)

    def get(self, path: str, status: int = 200, minor: int = NEWEST, method: str = "GET", **query: Any) -> Any:
        headers = {"OpenStack-API-Version": f"placement 1.{minor}"}
        answer = self.http.request(method, path, headers=headers, params=query or None)
        assert answer.status_code == status, f"{method} {path} {query}: {answer.status_code} {answer.text}"
        assert answer.headers["openstack-api-version"] == f"placement 1.{minor}"
        return answer.json() if answer.content else None

    def refused(self, path: str, status: int, minor: int = NEWEST, **query: Any) -> str:
        (error,) = self.get(path, status, minor, **query)["errors"]
        assert error["status"] == status
        return str(error["detail"].split("\n\n")[1].strip())

    def names(self, minor: int = NEWEST, **query: Any) -> set[str]:
        return {each["name"] for each in self.get("/resource_providers", minor=minor, **query)["resource_providers"]}


@pytest.fixture(scope="module")
def placement(cloud: Cloud, admin: Api) -> Placement:
    return Placement(cloud, admin)


class Hosts:
    """Two hosts of 8 vCPUs, 4096 MiB and 100 GiB; the second is disabled, and in an aggregate."""

    def __init__(self, cloud: Cloud, demo: Api) -> None:
        self.cloud, self.demo = cloud, demo
        self.names = [f"place-{uuid.uuid4().hex[:8]}" for _ in range(2)]
        self.ids = [str(uuid.uuid4()) for _ in self.names]
        about = {"vcpus": 8, "memory_mb": 4096, "disk_gb": 100}
        self.group = Aggregate(uuid=str(uuid.uuid4()), name=f"group-{self.names[1]}")
        cloud.host(self.names[0])
        cloud.host(self.names[1], disabled=True)
        with cloud.database.write() as session:
            session.add_all(
                [ComputeNode(host=name, id=id, **about) for name, id in zip(self.names, self.ids, strict=True)]
            )
            session.add(self.group)
            session.flush()
            session.add(AggregateHost(aggregate_id=self.group.id, host=self.names[1]))

    def claim(self, number: int, kind: str = "instance", **amounts: int) -> str:
        """A claim on one of the hosts; its consumer."""
        server = self.cloud.server(self.demo, host=self.names[number])
        consumer = server if kind == "instance" else str(uuid.uuid4())
        held = {"vcpus": 2, "memory_mb": 512, "disk_gb": 0, **amounts}
        with self.cloud.database.write() as session:
            session.add(
                Allocation(
                    consumer_id=consumer, instance_id=server, host=self.names[number], attempt=3, kind=kind, **held
                )
            )
        return consumer

    def forget(self) -> None:
        with self.cloud.database.write() as session:
            for name in self.names:
                session.delete(session.get_one(ComputeNode, name))
            session.delete(session.get_one(Aggregate, self.group.id))
            for table in (Service.__table__, Allocation.__table__, AggregateHost.__table__):  # type: ignore[attr-defined]
                session.execute(delete(table).where(table.c.host.in_(self.names)))


@pytest.fixture
def hosts(cloud: Cloud, demo: Api) -> Iterator[Hosts]:
    made = Hosts(cloud, demo)
    yield made
    made.forget()


@pytest.mark.parametrize(("path", "status", "first", "schema"), ROUTES, ids=[route[0] for route in ROUTES])
def test_every_route_at_every_microversion(
    placement: Placement, hosts: Hosts, path: str, status: int, first: int, schema: Any
) -> None:
    """At those before and after each change of its schema; before its first one it is not found."""
    server, provider = hosts.claim(0), hosts.ids[0]
    (trait, *_) = placement.get("/traits")["traits"]
    url = path.format(**{"id": server if path.startswith("/allocations") else provider, "class": "VCPU"},
                      name=trait if path.startswith("/traits") else "VCPU")  # fmt: skip
    query = {"/usages": {"project_id": "p"}, "/allocation_candidates": {"resources": "VCPU:1"}}.get(path, {})
    at = {first, DATED - 1, DATED, NEWEST} | {n - less for n in changes(schema) for less in (0, 1)}
    for minor in sorted(n for n in at if first <= n <= NEWEST):
        placement.get(url, status, minor, **query)
    if first:
        placement.get(url, 404, first - 1, **query)


def test_hosts_are_providers(placement: Placement, hosts: Hosts) -> None:
    found = {each["uuid"]: each for each in placement.get("/resource_providers")["resource_providers"]}
    shown = placement.get(f"/resource_providers/{hosts.ids[0]}")
    assert shown == found[hosts.ids[0]] and shown["name"] == hosts.names[0]
    for link in shown["links"]:
        placement.get(link["href"])
    assert [link["rel"] for link in shown["links"]] == [
        "self", "inventories", "usages", "aggregates", "traits", "allocations",
    ]  # fmt: skip


def test_inventories_and_usages_are_the_schedulers(cloud: Cloud, placement: Placement, hosts: Hosts) -> None:
    """Capacity is what `activities.scheduling.filters` lets servers have."""
    path, s = f"/resource_providers/{hosts.ids[0]}", cloud.settings
    before = placement.get(path)["generation"]
    hosts.claim(0, vcpus=3, disk_gb=7)
    shown = placement.get(f"{path}/inventories")
    assert shown["inventories"] == {
        "VCPU": {"total": 8, "reserved": 0, "min_unit": 1, "max_unit": 32, "step_size": 1,
                 "allocation_ratio": s.cpu_allocation_ratio},
        "MEMORY_MB": {"total": 4096, "reserved": s.reserved_host_memory_mb, "min_unit": 1, "max_unit": 3584,
                      "step_size": 1, "allocation_ratio": s.ram_allocation_ratio},
        "DISK_GB": {"total": 100, "reserved": 0, "min_unit": 1, "max_unit": 100, "step_size": 1,
                    "allocation_ratio": s.disk_allocation_ratio},
    }  # fmt: skip
    assert placement.get(f"{path}/inventories/VCPU")["total"] == 8
    assert placement.get(f"{path}/usages")["usages"] == {"VCPU": 3, "MEMORY_MB": 512, "DISK_GB": 7}
    assert shown["resource_provider_generation"] == placement.get(path)["generation"] != before
    assert "No inventory of class VGPU" in placement.refused(f"{path}/inventories/VGPU", 404)
    for part in ("", "/inventories", "/inventories/VCPU", "/usages", "/aggregates", "/traits", "/allocations"):
        missing = placement.refused(f"/resource_providers/{uuid.uuid4()}{part}", 404)
        assert "No resource provider with uuid" in missing


def test_claims_are_allocations(cloud: Cloud, placement: Placement, hosts: Hosts, demo: Api) -> None:
    server, kept = hosts.claim(0), hosts.claim(0, "migration", vcpus=1, disk_gb=9)
    held = placement.get(f"/resource_providers/{hosts.ids[0]}/allocations")["allocations"]
    assert held == {
        server: {"resources": {"VCPU": 2, "MEMORY_MB": 512}, "consumer_generation": 3},
        kept: {"resources": {"VCPU": 1, "MEMORY_MB": 512, "DISK_GB": 9}, "consumer_generation": 3},
    }
    shown = placement.get(f"/allocations/{server}")
    assert shown["allocations"][hosts.ids[0]]["resources"] == {"VCPU": 2, "MEMORY_MB": 512}
    assert (shown["project_id"], shown["user_id"], shown["consumer_type"]) == (
        demo.project_id, demo.user_id, "INSTANCE",
    )  # fmt: skip
    assert placement.get(f"/allocations/{kept}")["consumer_type"] == "MIGRATION"
    assert placement.get(f"/allocations/{kept}", minor=11).keys() == {"allocations"}
    assert placement.get(f"/allocations/{uuid.uuid4()}") == {"allocations": {}}


def test_what_a_project_uses(cloud: Cloud, placement: Placement, fresh: Api) -> None:
    hosts = Hosts(cloud, fresh)
    hosts.claim(0), hosts.claim(1, "migration", disk_gb=9)
    mine = Placement(cloud, fresh)
    for who in (placement, mine):
        query = {"project_id": fresh.project_id}
        assert who.get("/usages", minor=37, **query)["usages"] == {"VCPU": 4, "MEMORY_MB": 1024, "DISK_GB": 9}
        by_type = who.get("/usages", **query)["usages"]
        assert by_type == {
            "INSTANCE": {"VCPU": 2, "MEMORY_MB": 512, "consumer_count": 1},
            "MIGRATION": {"VCPU": 2, "MEMORY_MB": 512, "DISK_GB": 9, "consumer_count": 1},
        }
        assert who.get("/usages", **query, consumer_type="INSTANCE")["usages"].keys() == {"INSTANCE"}
        assert who.get("/usages", **query, consumer_type="all")["usages"]["all"]["consumer_count"] == 2
        assert who.get("/usages", **query, user_id="somebody")["usages"] == {}
    assert "project_id" in placement.refused("/usages", 400)
    hosts.forget()


def test_providers_are_filtered(placement: Placement, hosts: Hosts) -> None:
    first, second = hosts.names
    hosts.claim(0, vcpus=30)
    both = {first, second}
    assert both <= placement.names()
    assert placement.names(name=first) == {first} == placement.names(uuid=hosts.ids[0].replace("-", ""))
    assert placement.names(in_tree=hosts.ids[1]) == {second}
    assert placement.names(resources="VCPU:3,MEMORY_MB:64") & both == {second}  # 2 of 32 are left on the first
    assert placement.names(resources="VCPU:2") & both == both
    assert not placement.names(resources="VGPU:1") & both
    assert placement.names(required="COMPUTE_STATUS_DISABLED") & both == {second}
    assert placement.names(required="COMPUTE_NODE,!COMPUTE_STATUS_DISABLED") & both == {first}
    assert placement.names(required="in:HW_CPU_X86_AVX,COMPUTE_NODE") & both == both
    assert placement.names(required="HW_CPU_X86_AVX") & both == set()
    group = hosts.group.uuid
    assert placement.names(member_of=group) == {second} == placement.names(member_of=f"in:{uuid.uuid4()},{group}")
    assert placement.names(member_of=f"!{group}") & both == {first}
    assert placement.get(f"/resource_providers/{hosts.ids[1]}/aggregates")["aggregates"] == [group]


def test_filters_that_are_not_understood_are_refused(placement: Placement) -> None:
    """Each is a 400, in Placement's words."""
    for minor, query, words in (
        (39, {"colour": "red"}, "'colour' was unexpected"),
        (3, {"resources": "VCPU:1"}, "'resources' was unexpected"),
        (17, {"required": "COMPUTE_NODE"}, "'required' was unexpected"),
        (39, {"resources": ""}, "Got: empty string"),
        (39, {"resources": "VCPU"}, "Badly formed resources parameter"),
        (39, {"resources": "VCPU:x"}, "expected positive integer"),
        (39, {"resources": "VCPU:0"}, "requires amount >= 1"),
        (39, {"resources": "SHOES:1"}, "No such resource class SHOES"),
        (39, {"required": "SHOES"}, "No such trait(s): SHOES"),
        (39, {"required": "COMPUTE_NODE,"}, "Got an empty trait"),
        (21, {"required": "!COMPUTE_NODE"}, "of the form"),
        (38, {"required": "in:COMPUTE_NODE"}, "since microversion 1.39"),
        (39, {"member_of": "x"}, "valid UUID"),
        (39, {"member_of": f"{uuid.uuid4()},{uuid.uuid4()}"}, "must be prefixed"),
        (31, {"member_of": f"!{uuid.uuid4()}"}, "not supported"),
        (23, {"member_of": [str(uuid.uuid4())] * 2}, "Multiple member_of"),
        (39, {"uuid": "x"}, "uuid"),
        (39, {"in_tree": "x"}, "uuid"),
    ):
        assert words in placement.refused("/resource_providers", 400, minor, **query), query


def test_candidates_have_room(placement: Placement, hosts: Hosts) -> None:
    hosts.claim(0, vcpus=31)
    asked = {"resources": "VCPU:2,DISK_GB:5"}
    found = placement.get("/allocation_candidates", **asked)
    assert hosts.ids[0] not in found["provider_summaries"] and hosts.ids[1] in found["provider_summaries"]
    assert found["provider_summaries"][hosts.ids[1]]["resources"]["VCPU"] == {"capacity": 32, "used": 0}
    mine = [each for each in found["allocation_requests"] if hosts.ids[1] in each["allocations"]]
    assert mine == [
        {"allocations": {hosts.ids[1]: {"resources": {"VCPU": 2, "DISK_GB": 5}}}, "mappings": {"": [hosts.ids[1]]}}
    ]
    tree = placement.get("/allocation_candidates", **asked, in_tree=hosts.ids[1], root_required="COMPUTE_NODE", limit=1)
    assert list(tree["provider_summaries"]) == [hosts.ids[1]]
    for query in ({}, {**asked, "limit": "0"}, {**asked, "group_policy": "x"}, {**asked, "colour": "red"}):
        placement.refused("/allocation_candidates", 400, **query)
    assert "resources1" in placement.refused("/allocation_candidates", 501, **asked, resources1="VCPU:1")


def test_names_of_classes_and_traits(placement: Placement, hosts: Hosts) -> None:
    classes = {each["name"] for each in placement.get("/resource_classes")["resource_classes"]}
    assert {"VCPU", "MEMORY_MB", "DISK_GB", "PCPU"} <= classes
    assert placement.get("/resource_classes/VCPU")["links"] == [{"rel": "self", "href": "/resource_classes/VCPU"}]
    assert "No such resource class SHOES" in placement.refused("/resource_classes/SHOES", 404)
    assert placement.get("/traits", associated="true")["traits"] == ["COMPUTE_NODE", "COMPUTE_STATUS_DISABLED"]
    assert placement.get("/traits", name="in:COMPUTE_NODE,SHOES")["traits"] == ["COMPUTE_NODE"]
    avx = placement.get("/traits", name="startswith:HW_CPU_X86_AVX", associated="false")["traits"]
    assert "HW_CPU_X86_AVX2" in avx and all(name.startswith("HW_CPU_X86_AVX") for name in avx)
    placement.get("/traits/COMPUTE_NODE", 204)
    assert "No such trait(s): SHOES" in placement.refused("/traits/SHOES", 404)
    placement.refused("/traits", 400, name="COMPUTE_NODE")
    placement.refused("/traits", 400, associated="maybe")


def test_writes_say_why_they_are_refused(cloud: Cloud, placement: Placement, demo: Api) -> None:
    """With what each would write, from an operator: 501; from a tenant: 403. Before its microversion there is none."""
    tenant = Placement(cloud, demo)
    for method, path, first, _, words in WRITES:
        url = path.format(uuid=uuid.uuid4(), resource_class="VCPU", name="CUSTOM_X", consumer_uuid=uuid.uuid4())
        assert placement.refused(url, 501, method=method) == words
        assert "Policy does not allow placement:" in tenant.refused(url, 403, method=method)
        if first:
            old = 405 if url.endswith("/inventories") else 404
            assert placement.get(url, old, first - 1, method=method)["errors"]


def test_a_tenant_sees_no_host(cloud: Cloud, demo: Api, hosts: Hosts) -> None:
    tenant, provider = Placement(cloud, demo), f"/resource_providers/{hosts.ids[0]}"
    closed = [provider, f"{provider}/usages", f"/allocations/{uuid.uuid4()}", "/traits", "/resource_classes"]
    for path in (*closed, "/resource_providers", "/allocation_candidates?resources=VCPU:1", "/usages?project_id=x"):
        assert "Policy does not allow" in tenant.refused(path, 403)


def test_versions(cloud: Cloud, admin: Api) -> None:
    url = cloud.settings.url("placement")
    (document,) = httpx.get(f"{url}/", **HTTP).json()["versions"]
    assert (document["min_version"], document["max_version"]) == ("1.0", "1.39")
    assert httpx.get(f"{url}/traits", **HTTP).status_code == 401
    headers = {"X-Auth-Token": admin.token, "OpenStack-API-Version": "compute 2.104,placement latest"}
    assert httpx.get(f"{url}/traits", headers=headers, **HTTP).headers["openstack-api-version"] == "placement 1.39"
    for wanted, status in (("1.40", 406), ("2.1", 406), ("x", 400)):
        answer = httpx.get(f"{url}/traits", headers={**headers, "OpenStack-API-Version": f"placement {wanted}"}, **HTTP)
        assert answer.status_code == status
        if status == 406:
            (error,) = answer.json()["errors"]
            assert (error["min_version"], error["max_version"]) == ("1.0", "1.39")
    assert httpx.get(f"{url}/traits", headers={**headers, "Accept": "text/html"}, **HTTP).status_code == 406


def test_with_the_openstack_clients_own_plugin(cloud: Cloud, hosts: Hosts, openstack_client: str) -> None:
    """osc-placement, unmodified, at the version that it agrees upon with the service."""
    server = hosts.claim(0)
    who = cloud.sign_in("admin")

    def told(line: str) -> Any:
        return ran(openstack_client, who, line)

    listed = {row["name"]: row for row in told("resource provider list")}
    assert listed[hosts.names[0]]["uuid"] == hosts.ids[0]
    assert told(f"resource provider show {hosts.ids[0]}")["name"] == hosts.names[0]
    (inventory,) = [
        r for r in told(f"resource provider inventory list {hosts.ids[0]}") if r["resource_class"] == "VCPU"
    ]
    assert (inventory["total"], inventory["used"]) == (8, 2)
    usage = {row["resource_class"]: row["usage"] for row in told(f"resource provider usage show {hosts.ids[0]}")}
    assert usage == {"VCPU": 2, "MEMORY_MB": 512, "DISK_GB": 0}
    (held,) = told(f"resource provider allocation show {server}")
    assert (held["resource_provider"], held["resources"]) == (hosts.ids[0], {"VCPU": 2, "MEMORY_MB": 512})
    pinned = "--os-placement-api-version 1.29 "
    assert told(f"{pinned}resource provider trait list {hosts.ids[1]}") == [
        {"name": "COMPUTE_NODE"}, {"name": "COMPUTE_STATUS_DISABLED"},
    ]  # fmt: skip
    assert told(f"{pinned}resource provider aggregate list {hosts.ids[1]}") == [{"uuid": hosts.group.uuid}]
    assert {"name": "VCPU"} in told(f"{pinned}resource class list")
    assert json.dumps(hosts.ids[1]) in json.dumps(told(f"{pinned}allocation candidate list --resource VCPU=31"))
