"""POST /servers: what reaches the workflow, and what is refused before anything exists."""

import base64
import uuid
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from infra.tables.compute import Flavor, Instance
from tests.compute.conftest import HTTP, Api, Cloud
from workflows.requests import BootRequest

_KEY = ed25519.Ed25519PrivateKey.generate().public_key()
PUBLIC = _KEY.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


@dataclass
class Lab:
    """Images, networks and a zone for boots, and the way to ask for more in the neighbouring services."""

    cloud: Cloud
    image: str
    big_image: str
    network: str
    other_network: str

    def ask(self, user: Api, service: str, method: str, path: str, body: Any = None) -> Any:
        url = self.cloud.settings.url(service, path)
        answer = httpx.request(method, url, json=body, headers={"X-Auth-Token": user.token}, **HTTP)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def make_network(self, user: Api, cidr: str = "10.9.0.0/24", **about: Any) -> str:
        network = self.ask(user, "network", "POST", "/v2.0/networks", {"network": {"name": "n", **about}})["network"]
        if cidr:
            subnet = {"network_id": network["id"], "cidr": cidr, "ip_version": 4}
            self.ask(user, "network", "POST", "/v2.0/subnets", {"subnet": subnet})
        return str(network["id"])

    def make_image(self, user: Api, **about: Any) -> str:
        kind = {"disk_format": "raw", "container_format": "bare", "visibility": "public"}
        image = self.ask(user, "image", "POST", "/v2/images", {"name": "i", **kind, **about})
        url = self.cloud.settings.url("image", f"/v2/images/{image['id']}/file")
        headers = {"X-Auth-Token": user.token, "Content-Type": "application/octet-stream"}
        httpx.put(url, content=b"\0" * 1_048_576, headers=headers, **HTTP).raise_for_status()
        return str(image["id"])

    def server(self, **about: Any) -> dict[str, Any]:
        base = {"name": "vm", "flavorRef": "tiny", "imageRef": self.image, "networks": "none"}
        return {"server": {k: v for k, v in {**base, **about}.items() if v is not ...}}

    def boot(self, user: Api, version: str = "2.104", /, **about: Any) -> BootRequest:
        """The request that reached the workflows."""
        made = user.post("/servers", self.server(**about), 202, version)["server"]
        return next(each for each in self.cloud.ledger.booted if each.instance_id == made["id"])

    def refused(self, user: Api, status: int, version: str = "2.104", /, **about: Any) -> str:
        before = len(self.cloud.ledger.booted)
        message = user.refused("POST", "/servers", status, version, json=self.server(**about))
        assert len(self.cloud.ledger.booted) == before
        return message


@pytest.fixture(scope="module")
def lab(cloud: Cloud, admin: Api, demo: Api, tiny: Flavor) -> Lab:
    lab = Lab(cloud, "", "", "", "")
    lab.image = lab.make_image(admin)
    lab.big_image = lab.make_image(admin, min_ram=128, min_disk=1)
    lab.network = lab.make_network(demo)
    lab.other_network = lab.make_network(demo)
    admin.put(f"/os-quota-sets/{demo.project_id}", {"quota_set": {"instances": 900, "cores": -1}})
    return lab


def test_answer(cloud: Cloud, lab: Lab, demo: Api) -> None:
    body = lab.server(adminPass="secret", security_groups=[{"name": "default"}])
    answer = demo.http.post("/servers", json=body, headers={"OpenStack-API-Version": "compute 2.104"})
    assert answer.status_code == 202
    server = answer.json()["server"]
    assert set(server) == {"id", "links", "OS-DCF:diskConfig", "security_groups", "adminPass"}
    assert server["adminPass"] == "secret"
    assert answer.headers["Location"] == server["links"][0]["href"]
    assert answer.headers["x-openstack-request-id"] == cloud.ledger.booted[-1].requester.request_id
    shown = demo.get(f"/servers/{server['id']}")["server"]
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("BUILD", "scheduling")


def test_everything_at_once(lab: Lab, demo: Api, admin: Api) -> None:
    demo.post("/os-keypairs", {"keypair": {"name": "boot-key", "public_key": PUBLIC}}, 201)
    user_data = base64.b64encode(b"#!/bin/sh").decode()
    got = lab.boot(
        demo, name="My Server_1.é", description="d", tags=["b", "a", "b"], metadata={"k": "v"}, user_data=user_data,
        key_name="boot-key", config_drive=True, accessIPv4="10.0.0.1", min_count="1",
        networks=[{"uuid": lab.network, "tag": "n1"}, {"uuid": lab.other_network}],
    )  # fmt: skip
    assert (got.name, got.hostname) == ("My Server_1.é", "my-server-1")
    assert (got.description, got.tags, got.metadata) == ("d", ["b", "a"], {"k": "v"})
    assert (got.key_name, got.public_key, got.user_data) == ("boot-key", PUBLIC, user_data)
    assert (got.image_id, got.flavor_id, got.config_drive) == (lab.image, "tiny", True)
    own = uuid.UUID(got.instance_id)
    assert [port.port_id for port in got.ports] == [str(uuid.uuid5(own, f"port/{n}")) for n in (0, 1)]
    assert [(port.network_id, port.tag, port.mine) for port in got.ports] == [
        (lab.network, "n1", True),
        (lab.other_network, None, True),
    ]
    assert got.security_group_names == ["default"] and got.security_groups == []
    assert got.quota == {"instances": 900, "cores": -1, "ram": 51200}
    assert got.hints == {"kilonova:on_failure": "unwind"}
    assert got.access_ip_v4 == "10.0.0.1"
    assert len(got.admin_pass) == 12
    shown = admin.get(f"/servers/{got.instance_id}")["server"]
    assert shown["OS-EXT-SRV-ATTR:user_data"] == user_data
    assert "OS-EXT-SRV-ATTR:user_data" not in demo.get(f"/servers/{got.instance_id}")["server"]
    assert got.requester.project_id == demo.project_id and got.requester.token == demo.token


def test_what_the_newest_client_sends(lab: Lab, demo: Api) -> None:
    local = {"uuid": lab.image, "boot_index": 0, "source_type": "image", "destination_type": "local"}
    group = lab.ask(demo, "network", "GET", f"/v2.0/security-groups?project_id={demo.project_id}")["security_groups"][0]
    got = lab.boot(
        demo, min_count=1, max_count=1, networks=[{"uuid": lab.network}], security_groups=[{"name": group["id"]}],
        block_device_mapping_v2=[{**local, "delete_on_termination": True}],
    )  # fmt: skip
    assert (got.image_id, got.volumes) == (lab.image, [])
    assert (got.security_groups, got.security_group_names) == ([group["id"]], ["default"])


@pytest.mark.parametrize(
    ("about", "status", "words"),
    [
        ({"flavorRef": "none"}, 400, "Flavor none could not be found."),
        ({"imageRef": str(uuid.uuid4())}, 400, "Can not find requested image"),
        ({"imageRef": "cirros"}, 400, "imageRef"),
        ({"imageRef": ""}, 400, "Invalid imageRef provided."),
        ({"imageRef": ...}, 400, "Invalid imageRef provided."),
        ({"key_name": "none"}, 400, "Invalid key_name provided."),
        ({"networks": [{"uuid": "b5d5dbb1-7bf5-4f9e-8b9a-5a5ad0b5bb6b"}]}, 400, "Network b5d5dbb1-7bf5-4f9e-8b9a-"),
        ({"networks": [{"port": "b5d5dbb1-7bf5-4f9e-8b9a-5a5ad0b5bb6b"}]}, 400, "Port id b5d5dbb1-7bf5-4f9e-8b9a-"),
        ({"networks": [{"uuid": "x"}]}, 400, "Bad networks format"),
        ({"networks": [{}]}, 400, "Bad network format: missing 'uuid'"),
        ({"networks": "some"}, 400, "networks"),
        ({"networks": ...}, 400, "'networks' is a required property"),
        ({"networks": "auto"}, 409, "Multiple possible networks found, use a Network ID to be more specific."),
        ({"security_groups": [{"name": "none"}]}, 400, "Security group none not found."),
        ({"name": ""}, 400, "name"),
        ({"name": ...}, 400, "'name' is a required property"),
        ({"flavorRef": ...}, 400, "'flavorRef' is a required property"),
        ({"user_data": "%"}, 400, "user_data"),
        ({"user_data": "A" * 65536}, 400, "user_data"),
        ({"metadata": {"a": "x" * 256}}, 400, "metadata"),
        ({"metadata": {str(n): "" for n in range(129)}}, 403, "Maximum number of metadata items exceeds 128"),
        ({"tags": ["a,b"]}, 400, "tags"),
        ({"min_count": 0}, 400, "min_count"),
        ({"min_count": 3, "max_count": 2}, 400, "min_count must be <= max_count"),
        ({"min_count": 901}, 403, "Quota exceeded for instances: Requested 901, but already used "),
        ({"hostname": "a b"}, 400, "hostname"),
        ({"hostname": "x", "min_count": 2}, 400, "Unable to allocate a single hostname to multiple instances"),
        ({"availability_zone": "moon"}, 400, "The requested availability zone is not available"),
        ({"availability_zone": "nova:node1"}, 403, "Policy doesn't allow os_compute_api:servers:create:forced_host"),
        ({"host": "node1"}, 403, "Policy doesn't allow compute:servers:create:requested_destination"),
        ({"block_device_mapping": [{"volume_id": "x"}]}, 400, "block_device_mapping_v2"),
        ({"more": 1}, 400, "Additional properties are not allowed ('more' was unexpected)"),
        ({"personality": []}, 400, "'personality' was unexpected"),
        ({"flavorRef": ..., "flavor_ref": "tiny"}, 400, "'flavorRef' is a required property"),
        ({"access_ip_v4": "192.0.2.1"}, 400, "'access_ip_v4' was unexpected"),
    ],
)  # fmt: skip
def test_refused(lab: Lab, demo: Api, about: dict[str, Any], status: int, words: str) -> None:
    assert words in lab.refused(demo, status, **about)


@pytest.mark.parametrize(
    ("about", "version"),
    [
        ({"description": "x"}, "2.18"),
        ({"networks": "none"}, "2.36"),
        ({"networks": [{"uuid": "b5d5dbb1-7bf5-4f9e-8b9a-5a5ad0b5bb6b", "tag": "x"}]}, "2.31"),
        ({"networks": [{"uuid": "b5d5dbb1-7bf5-4f9e-8b9a-5a5ad0b5bb6b", "tag": "x"}]}, "2.41"),
        ({"tags": ["x"]}, "2.51"),
        ({"block_device_mapping_v2": [{"source_type": "blank", "tag": "x"}]}, "2.41"),
        ({"block_device_mapping_v2": [{"source_type": "blank", "volume_type": "x"}]}, "2.66"),
        ({"host": "x"}, "2.73"),
        ({"hostname": "x"}, "2.89"),
    ],
)
def test_attributes_of_later_versions(lab: Lab, demo: Api, about: dict[str, Any], version: str) -> None:
    lab.refused(demo, 400, version, **{"networks": ..., **about})


def test_flavor_too_small(cloud: Cloud, lab: Lab, admin: Api, demo: Api) -> None:
    words = "Flavor's memory is too small for requested image."
    assert lab.refused(demo, 400, imageRef=lab.big_image) == words
    deep = lab.make_image(admin, min_disk=2)
    assert "smaller than the minimum size" in lab.refused(demo, 400, imageRef=deep)
    with cloud.database.write() as session:
        session.add(Flavor(id="diskless", name="diskless", ram=64, vcpus=1, disk=0))
    assert "zero disk" in lab.refused(demo, 403, flavorRef="diskless")
    assert lab.boot(admin, flavorRef="diskless").flavor_id == "diskless"


def test_image_that_is_not_active(lab: Lab, admin: Api, demo: Api) -> None:
    kind = {"disk_format": "raw", "container_format": "bare", "visibility": "public"}
    queued = lab.ask(admin, "image", "POST", "/v2/images", {"name": "q", **kind})["id"]
    assert lab.refused(demo, 400, imageRef=queued) == f"Image {queued} is not active."


def test_properties_that_a_guest_is_made_by(cloud: Cloud, lab: Lab, admin: Api, demo: Api) -> None:
    image = lab.make_image(admin, hw_qemu_guest_agent="yes", os_admin_user="cirros", other="x")
    kept = {"hw_qemu_guest_agent": "yes", "os_admin_user": "cirros"}
    got = lab.boot(demo, imageRef=image)
    with cloud.database.read() as session:
        assert (got.image_properties, session.get_one(Instance, got.instance_id).image_properties) == (kept, kept)


def test_private_flavor(lab: Lab, admin: Api, demo: Api) -> None:
    about = {"name": f"p-{uuid.uuid4().hex[:6]}", "ram": 64, "vcpus": 1, "disk": 1, "os-flavor-access:is_public": False}
    flavor = admin.post("/flavors", {"flavor": about})["flavor"]["id"]
    assert lab.refused(demo, 400, flavorRef=flavor) == f"Flavor {flavor} could not be found."
    admin.post(f"/flavors/{flavor}/action", {"addTenantAccess": {"tenant": demo.project_id}})
    assert lab.boot(demo, flavorRef=flavor).flavor_id == flavor


def test_the_only_network(lab: Lab, fresh: Api) -> None:
    assert lab.boot(fresh, "2.1", networks=...).ports == []
    assert "Unable to automatically allocate a network" in lab.refused(fresh, 400, networks="auto")


def test_the_only_network_is_taken(lab: Lab, cloud: Cloud, admin: Api) -> None:
    tenant = cloud.tenant(admin)
    network = lab.make_network(tenant)
    for version, networks in (("2.1", ...), ("2.104", "auto"), ("2.36", [])):
        assert [port.network_id for port in lab.boot(tenant, version, networks=networks).ports] == [network]


def test_networks_that_cannot_serve(lab: Lab, admin: Api, demo: Api, other: Api) -> None:
    bare = lab.make_network(demo, cidr="")
    words = f"Network {bare} requires a subnet in order to boot instances on."
    assert lab.refused(demo, 400, networks=[{"uuid": bare}]) == words
    foreign = lab.make_network(other)
    assert lab.refused(demo, 400, networks=[{"uuid": foreign}]) == f"Network {foreign} could not be found."
    outside = lab.make_network(admin, **{"router:external": True})
    assert "external network" in lab.refused(demo, 403, networks=[{"uuid": outside}])


def test_own_port(lab: Lab, demo: Api) -> None:
    def port(**about: Any) -> dict[str, Any]:
        made = lab.ask(demo, "network", "POST", "/v2.0/ports", {"port": {"network_id": lab.network, **about}})
        return dict(made["port"])

    mine = port()["id"]
    (got,) = lab.boot(demo, networks=[{"port": mine}]).ports
    assert (got.port_id, got.network_id, got.mine) == (mine, lab.network, False)
    twice = [{"port": mine}, {"port": mine}]
    assert "specified twice" in lab.refused(demo, 400, networks=twice)
    assert "specified together" in lab.refused(demo, 400, networks=[{"port": mine, "fixed_ip": "10.9.0.9"}])
    assert "one by one" in lab.refused(demo, 400, networks=[{"port": mine}], min_count=2)
    used = port(device_id=str(uuid.uuid4()), device_owner="compute:nova")
    assert lab.refused(demo, 409, networks=[{"port": used["id"]}]) == f"Port {used['id']} is still in use."
    address = used["fixed_ips"][0]["ip_address"]
    words = f"Fixed IP address {address} is already in use on instance {used['device_id']}."
    assert lab.refused(demo, 400, networks=[{"uuid": lab.network, "fixed_ip": address}]) == words
    free = lab.boot(demo, networks=[{"uuid": lab.network, "fixed_ip": "10.9.0.77"}])
    assert free.ports[0].fixed_ip == "10.9.0.77"


def test_same_named_groups(lab: Lab, demo: Api) -> None:
    group = {"security_group": {"name": f"g-{uuid.uuid4().hex[:6]}"}}
    for _ in range(2):
        made = lab.ask(demo, "network", "POST", "/v2.0/security-groups", group)["security_group"]
    name = made["name"]
    assert f"Multiple security groups found matching '{name}'" in lab.refused(
        demo, 409, security_groups=[{"name": name}]
    )
    got = lab.boot(demo, networks=[{"uuid": lab.network}], security_groups=[{"name": made["id"]}, {"name": "default"}])
    assert got.security_groups[0] == made["id"] and got.security_group_names == [name, "default"]


def test_zone_and_host(cloud: Cloud, lab: Lab, admin: Api, demo: Api) -> None:
    node, zone = f"boot-{uuid.uuid4().hex[:6]}", f"z-{uuid.uuid4().hex[:6]}"
    cloud.host(node, zone=zone)
    assert lab.boot(demo, availability_zone=zone).availability_zone == zone
    forced = lab.boot(admin, availability_zone=f"{zone}:{node}")
    assert (forced.availability_zone, forced.forced_host) == (zone, node)
    assert lab.boot(admin, host=node).requested_host == node
    words = "Compute host none could not be found."
    assert lab.refused(admin, 400, availability_zone=f"{zone}:none") == words
    assert lab.refused(admin, 400, host="none") == words
    assert "mutually exclusive" in lab.refused(admin, 400, availability_zone=f"{zone}:{node}", host=node)


def test_hints(lab: Lab, demo: Api) -> None:
    def ask(hints: Any, status: int, key: str = "os:scheduler_hints") -> Any:
        return demo.post("/servers", {**lab.server(), key: hints}, status)

    ask({"kilonova:on_failure": "park", "mine": ["a", "b"]}, 202, "OS-SCH-HNT:scheduler_hints")
    assert lab.cloud.ledger.booted[-1].hints == {"kilonova:on_failure": "park", "mine": '["a", "b"]'}
    server = str(uuid.uuid4())
    for name, bad, good in (
        ("different_host", ["a"], [server]),
        ("same_host", 5, server),
        ("query", 5, "[]"),
        ("cidr", "24", "/24"),
        ("build_near_host_ip", "here", "192.0.2.1"),
    ):
        ask({name: bad}, 400)
        if name.endswith("_host"):
            ask({name: good}, 202)
            assert lab.cloud.ledger.booted[-1].shown_hints == {name: [server]}
            continue
        assert name in ask({name: good}, 501)["notImplemented"]["message"]  # no filter here obeys it
    ask({"kilonova:on_failure": "explode"}, 400)
    ask({"group": "x"}, 400)
    missing = str(uuid.uuid4())
    assert ask({"group": missing}, 400)["badRequest"]["message"] == f"Instance group {missing} could not be found."
    ask([], 400)
    ask("x", 400)


def test_idempotency_key(lab: Lab, demo: Api, other: Api) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first = demo.post("/servers", lab.server(), 202, **key)["server"]
    again = demo.post("/servers", lab.server(), 202, **key)["server"]
    assert first == again
    assert first["id"] == str(
        uuid.uuid5(uuid.NAMESPACE_URL, f"{demo.project_id}/{demo.user_id}/{key['Idempotency-Key']}")
    )
    assert other.post("/servers", lab.server(), 202, **key)["server"]["id"] != first["id"]


def test_clients_request_id(lab: Lab, demo: Api) -> None:
    header = {"X-OpenStack-Request-ID": f"req-{uuid.uuid4()}"}
    first = demo.post("/servers", lab.server(name="a"), 202, **header)["server"]
    assert demo.post("/servers", lab.server(name="a"), 202, **header)["server"] == first
    assert demo.post("/servers", lab.server(name="b"), 202, **header)["server"]["id"] != first["id"]
    ids = {demo.post("/servers", lab.server(name="a"), 202)["server"]["id"] for _ in range(2)}
    assert len(ids) == 2
