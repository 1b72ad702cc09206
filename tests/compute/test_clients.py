"""The unmodified `openstack` client and novaclient against the compute API."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from keystoneauth1 import session
from keystoneauth1.identity import v3
from novaclient import client as novaclient

from infra import credentials
from tests.compute.cards import card
from tests.compute.commands import ran
from tests.compute.conftest import Api, Cloud
from tests.compute.test_hosts import REPORT

Run = Callable[..., Any]


@pytest.fixture
def client(cloud: Cloud, openstack_client: str) -> Run:
    """Runs `openstack COMMAND` as a bootstrapped user; its JSON, or its text."""
    return lambda user, line, text=False: ran(openstack_client, cloud.sign_in(user), line, text=text)


def test_flavors(client: Run) -> None:
    name = f"cli-{uuid.uuid4().hex[:6]}"
    made = client("admin", f"flavor create --vcpus 1 --ram 64 --disk 1 --property a=b {name}")
    assert made["properties"] == {"a": "b"}
    assert client("demo", f"flavor show {name}")["ram"] == 64
    assert name in {row["Name"] for row in client("demo", "flavor list")}
    client("admin", f"flavor set --property hw:cpu_policy=shared --description d {name}", text=True)
    client("admin", f"flavor unset --property a {name}", text=True)
    shown = client("admin", f"flavor show {name}")
    assert (shown["properties"], shown["description"]) == ({"hw:cpu_policy": "shared"}, "d")
    client("admin", f"flavor delete {name}", text=True)
    assert name not in {row["Name"] for row in client("admin", "flavor list --all")}


def test_keypairs(client: Run) -> None:
    client("demo", "keypair create cli-key", text=True)
    assert client("demo", "keypair show cli-key")["type"] == "ssh"
    assert [row["Name"] for row in client("demo", "keypair list")] == ["cli-key"]
    client("demo", "keypair delete cli-key", text=True)
    assert client("demo", "keypair list") == []


def test_services_and_hypervisors(client: Run, service: Api) -> None:
    node = f"cli-{uuid.uuid4().hex[:6]}"
    service.put(f"/kilonova/hosts/{node}", {"host": REPORT})
    rows = client("admin", "compute service list --service nova-compute")
    assert {row["Host"]: row["State"] for row in rows}[node] == "up"
    client("admin", f"compute service set --disable --disable-reason why {node} nova-compute", text=True)
    rows = client("admin", "compute service list --long")
    assert {row["Host"]: (row["Status"], row["Disabled Reason"]) for row in rows}[node] == ("disabled", "why")
    client("admin", f"compute service set --enable {node} nova-compute", text=True)
    client("admin", f"compute service set --down {node} nova-compute", text=True)
    assert {row["Hypervisor Hostname"]: row["State"] for row in client("admin", "hypervisor list")}[node] == "down"
    client("admin", f"compute service set --up {node} nova-compute", text=True)
    assert client("admin", f"hypervisor show {node}")["host_ip"] == "127.0.0.1"
    assert client("admin", "hypervisor stats show")["count"] >= 1
    assert node in {row["Host Name"] for row in client("admin", "host list")}
    assert client("admin", f"host show {node}")[0]["CPU"] == 4
    zones = client("admin", "availability zone list --compute --long")
    assert node in {row["Host Name"] for row in zones}
    assert "nova" in {row["Zone Name"] for row in client("demo", "availability zone list --compute")}


def test_quotas_and_limits(client: Run) -> None:
    def quotas() -> dict[str, int]:
        return {row["Resource"]: row["Limit"] for row in client("demo", "quota show --compute")}

    assert quotas()["instances"] == 10
    client("admin", "quota set --instances 20 demo", text=True)
    assert quotas()["instances"] == 20
    rows = client("demo", "limits show --absolute")
    assert 20 in {row["Value"] for row in rows if "nstances" in row["Name"]}
    assert client("demo", "usage show") is not None


def test_aggregates_and_server_groups(client: Run, service: Api) -> None:
    node = f"cli-{uuid.uuid4().hex[:6]}"
    service.put(f"/kilonova/hosts/{node}", {"host": REPORT})
    made = client("admin", f"aggregate create --zone z-{node} --property ssd=true a-{node}")
    assert made["name"] == f"a-{node}" and made["availability_zone"] == f"z-{node}"
    assert client("admin", f"aggregate add host a-{node} {node}")["hosts"] == [node]
    assert f"z-{node}" in {row["Zone Name"] for row in client("demo", "availability zone list --compute")}
    assert client("admin", f"aggregate show a-{node}")["properties"]["ssd"] == "true"
    client("admin", f"aggregate set --property ssd=false a-{node}", text=True)
    assert f"a-{node}" in {row["Name"] for row in client("admin", "aggregate list")}
    client("admin", f"aggregate remove host a-{node} {node}", text=True)
    client("admin", f"aggregate delete a-{node}", text=True)
    group = client("demo", f"server group create --policy soft-anti-affinity g-{node}")
    assert client("demo", f"server group show g-{node}")["id"] == group["id"]
    assert f"g-{node}" in {row["Name"] for row in client("demo", "server group list")}
    client("demo", f"server group delete g-{node}", text=True)


def test_servers(cloud: Cloud, client: Run) -> None:
    owner = cloud.user("demo")
    server = str(uuid.uuid4())
    port = card(cloud, owner, server, "192.168.56.101")
    cloud.server(owner, id=server, name="cli-vm", networks=[port], host="node1")
    (row,) = client("demo", "server list --name cli-vm")
    assert (row["Status"], row["Networks"]) == ("ACTIVE", {"provider": ["192.168.56.101"]})
    assert "cli-vm" in {row["Name"] for row in client("admin", "server list --all-projects")}
    client("demo", "server set --property a=b --tag t --description d cli-vm", text=True)
    shown = client("demo", "server show cli-vm")
    assert (shown["properties"], shown["tags"], shown["description"]) == ({"a": "b"}, ["t"], "d")
    client("demo", "server unset --property a --tag t cli-vm", text=True)
    client("demo", "server lock --reason mine cli-vm", text=True)
    assert client("demo", "server show cli-vm")["locked_reason"] == "mine"
    client("demo", "server unlock cli-vm", text=True)
    assert client("demo", "console url show cli-vm")["url"].startswith(cloud.settings.url("console"))
    assert client("demo", "console log show cli-vm", text=True).startswith("one")
    assert {row["Action"] for row in client("demo", "server event list cli-vm")} == {"lock", "unlock"}
    assert client("demo", "server volume list cli-vm") == []
    client("demo", "server delete --wait cli-vm", text=True)
    assert client("demo", "server list --name cli-vm") == []


@pytest.mark.parametrize("version", ["2.1", "2.52", "2.96"])
def test_novaclient(cloud: Cloud, service: Api, version: str) -> None:
    node = f"nova-{uuid.uuid4().hex[:6]}"
    service.put(f"/kilonova/hosts/{node}", {"host": REPORT})
    auth = v3.Password(
        auth_url=cloud.settings.identity_url,
        username="admin",
        password=credentials.load(cloud.settings.state_dir)["admin"],
        project_name="admin",
        user_domain_id="default",
        project_domain_id="default",
    )
    nova = novaclient.Client(version, session=session.Session(auth=auth))
    server = nova.servers.get(cloud.server(cloud.user("admin"), name=f"vm-{node}"))
    assert nova.servers.find(name=server.name).id == server.id
    assert node in {each.host for each in nova.services.list()}
    assert node in {each.hypervisor_hostname for each in nova.hypervisors.list()}
    assert nova.versions.get_current().version == "2.104"
    nova.servers.delete(server)
