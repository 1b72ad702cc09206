"""Images, networks, floating addresses and security groups by way of the compute API, as before 2.36."""

import uuid
from itertools import chain
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from api.compute.routes import group_proxy, image_proxy, network_proxy
from api.compute.routes.gone import GONE
from tests.compute.conftest import HTTP, Api, Cloud
from tests.compute.test_boot import Lab, lab  # noqa: F401
from tests.compute.test_floating import Network, led  # noqa: F401
from tests.edge import malformed

Json = dict[str, Any]
OLD = "2.35"


def test_images_in_novas_old_format(cloud: Cloud, lab: Lab, demo: Api, other: Api) -> None:  # noqa: F811
    server, mark = str(uuid.uuid4()), f"i-{uuid.uuid4().hex[:8]}"
    mapping = '[{"source_type": "snapshot", "boot_index": 0}]'
    more = {"auto_disk_config": "true", "instance_uuid": server, "block_device_mapping": mapping}
    image = lab.make_image(demo, name=mark, visibility="private", min_ram=64, min_disk=1, **more)
    shown = demo.get(f"/images/{image}", version=OLD)["image"]
    assert (shown["name"], shown["status"], shown["progress"]) == (mark, "ACTIVE", 100)
    assert (shown["minRam"], shown["minDisk"], shown["OS-EXT-IMG-SIZE:size"]) == (64, 1, 1_048_576)
    assert (shown["server"]["id"], shown["OS-DCF:diskConfig"]) == (server, "AUTO")
    assert shown["metadata"] == more | {"block_device_mapping": [{"source_type": "snapshot", "boot_index": 0}]}
    assert shown["links"][2]["href"] == f"{cloud.settings.url('image')}/images/{image}"
    for query in ({"name": mark}, {"server": f"http://nova/servers/{server}"}, {"property-instance_uuid": server}):
        assert demo.get("/images/detail", version=OLD, **query)["images"] == [shown], query
    assert demo.get("/images/detail", version=OLD, name=mark, status="SAVING")["images"] == []
    assert demo.get("/images", version=OLD, name=mark, **{"changes-since": "2999-01-01"})["images"] == []
    demo.get("/images", 400, version=OLD, marker=str(uuid.uuid4()))
    other.get(f"/images/{image}", 404, version=OLD)
    assert other.get("/images", version=OLD, name=mark)["images"] == []
    assert other.refused("DELETE", f"/images/{lab.image}", 403, OLD) == "You are not allowed to delete the image."
    demo.delete(f"/images/{image}", version=OLD)
    assert demo.refused("DELETE", f"/images/{image}", 404, OLD) == "Image not found."
    demo.get("/images", 404, version="2.36")


def test_images_are_paged(lab: Lab, fresh: Api) -> None:  # noqa: F811
    made = {lab.make_image(fresh, name="page", visibility="private") for _ in range(3)}
    query: Json = {"name": "page", "limit": 2}
    first = fresh.get("/images", version=OLD, **query)
    assert len(first["images"]) == 2 and "marker=" in first["images_links"][0]["href"]
    rest = fresh.get("/images", version=OLD, **query, marker=first["images"][-1]["id"])
    assert {each["id"] for each in (*first["images"], *rest["images"])} == made


def test_metadata_of_images_until_2_38(lab: Lab, demo: Api, other: Api) -> None:  # noqa: F811
    image, last = lab.make_image(demo, visibility="private"), "2.38"
    path = f"/images/{image}/metadata"
    assert demo.post(path, {"metadata": {"a": "1", "b:c": "2"}}, 200, last)["metadata"] == {"a": "1", "b:c": "2"}
    assert demo.put(f"{path}/a", {"meta": {"a": "3"}}, 200, last)["meta"] == {"a": "3"}
    assert demo.get(f"{path}/a", version=last)["meta"] == {"a": "3"}
    demo.delete(f"{path}/a", version=last)
    assert demo.get(path, version=last)["metadata"] == {"b:c": "2"}
    demo.put(path, {"metadata": {"d": "4"}}, 200, last)
    assert demo.get(path, version=last)["metadata"] == {"d": "4"}
    demo.get(f"{path}/a", 404, version=last)
    assert demo.refused("DELETE", f"{path}/a", 404, last) == "Invalid metadata key"
    assert "mismatch" in demo.refused("PUT", f"{path}/a", 400, last, json={"meta": {"d": "4"}})
    too_many = {"metadata": {f"k{n}": "v" for n in range(129)}}
    assert demo.refused("PUT", path, 403, last, json=too_many) == "Image metadata limit exceeded"
    other.get(path, 404, version=last)
    public = f"/images/{lab.image}/metadata"
    other.refused("POST", public, 403, last, json={"metadata": {"a": "1"}})
    demo.get(path, 404, version="2.39")


def test_networks_by_id_and_label(lab: Lab, demo: Api, admin: Api) -> None:  # noqa: F811
    shown = demo.get(f"/os-networks/{lab.network}", version=OLD)["network"]
    assert (shown["id"], shown["label"], shown["cidr"]) == (lab.network, "n", None) and "bridge" not in shown
    assert "bridge" in admin.get(f"/os-networks/{lab.network}", version=OLD)["network"]
    tenants = demo.get(f"/os-tenant-networks/{lab.network}", version=OLD)["network"]
    assert tenants == {"id": lab.network, "cidr": "None", "label": "n"}
    for path in ("/os-networks", "/os-tenant-networks"):
        assert lab.network in {each["id"] for each in demo.get(path, version=OLD)["networks"]}
        assert demo.refused("GET", f"{path}/{uuid.uuid4()}", 404, OLD) == "Network not found"


def test_floating_addresses(cloud: Cloud, demo: Api, other: Api, led: tuple[str, Json, Json]) -> None:  # noqa: F811
    server, port, address = led
    owned = Network(cloud, demo)
    nobodys = owned.make("/ports", "port", network_id=port["network_id"])
    owned.put(f"/floatingips/{address['id']}", {"floatingip": {"port_id": nobodys["id"]}})
    assert demo.get(f"/os-floating-ips/{address['id']}", version=OLD)["floating_ip"]["instance_id"] is None
    owned.put(f"/floatingips/{address['id']}", {"floatingip": {"port_id": port["id"]}})
    shown = demo.get(f"/os-floating-ips/{address['id']}", version=OLD)["floating_ip"]
    assert (shown["ip"], shown["fixed_ip"]) == (address["floating_ip_address"], port["fixed_ips"][0]["ip_address"])
    assert (shown["pool"], shown["instance_id"]) == ("outside", server)
    assert shown in demo.get("/os-floating-ips", version=OLD)["floating_ips"]
    owned.put(f"/floatingips/{address['id']}", {"floatingip": {"port_id": None}})
    assert {"name": "outside"} in demo.get("/os-floating-ip-pools", version=OLD)["floating_ip_pools"]
    made = demo.post("/os-floating-ips", {"pool": "outside"}, 200, OLD)["floating_ip"]
    assert made["fixed_ip"] is None and made["ip"].startswith("203.0.113.")
    other.refused("GET", f"/os-floating-ips/{made['id']}", 404, OLD)
    other.refused("DELETE", f"/os-floating-ips/{made['id']}", 404, OLD)
    demo.delete(f"/os-floating-ips/{made['id']}", 202, OLD)
    assert demo.refused("GET", f"/os-floating-ips/{made['id']}", 404, OLD).startswith("Floating IP not found for ID")
    demo.refused("GET", "/os-floating-ips/x", 400, OLD)
    assert demo.refused("POST", "/os-floating-ips", 404, OLD, json={}) == "Floating IP pool not found."


def test_an_address_over_quota(cloud: Cloud, admin: Api, fresh: Api, led: tuple[str, Json, Json]) -> None:  # noqa: F811
    Network(cloud, admin).put(f"/quotas/{fresh.project_id}", {"quota": {"floatingip": 0}})
    words = fresh.refused("POST", "/os-floating-ips", 403, OLD, json={"pool": "outside"})
    assert words == "IP allocation over quota in pool outside."


def test_security_groups_and_their_rules(cloud: Cloud, admin: Api, fresh: Api, other: Api) -> None:
    wish = {"security_group": {"name": "web", "description": "d"}}
    group = fresh.post("/os-security-groups", wish, 200, OLD)["security_group"]
    assert (group["name"], group["tenant_id"], group["rules"]) == ("web", fresh.project_id, [])
    path = f"/os-security-groups/{group['id']}"

    def rule(status: int = 200, **about: Any) -> Any:
        body = {"security_group_rule": {"parent_group_id": group["id"], **about}}
        return fresh.post("/os-security-group-rules", body, status, OLD)

    http = rule(ip_protocol="tcp", from_port="80", to_port=80, cidr="10.0.0.0/8")["security_group_rule"]
    assert (http["from_port"], http["to_port"], http["ip_range"]) == (80, 80, {"cidr": "10.0.0.0/8"})
    ping = rule(ip_protocol="icmp", from_port=-1, to_port=-1)["security_group_rule"]
    assert (ping["from_port"], ping["ip_range"]) == (-1, {"cidr": "0.0.0.0/0"})
    mine = rule(ip_protocol="tcp", group_id=group["id"])["security_group_rule"]
    assert (mine["group"], mine["to_port"]) == ({"name": "web", "tenant_id": fresh.project_id}, 65535)
    assert {each["id"] for each in fresh.get(path, version=OLD)["security_group"]["rules"]} == {
        http["id"], ping["id"], mine["id"],
    }  # fmt: skip
    tcp = {"ip_protocol": "tcp", "from_port": 80}
    for wrong in ({}, tcp, tcp | {"to_port": "x"}, tcp | {"to_port": 70_000}, {"ip_protocol": "shoes", "cidr": "x"}):
        rule(400, **wrong)
    rule(404, group_id=str(uuid.uuid4()))
    fresh.delete(f"/os-security-group-rules/{http['id']}", 202, OLD)
    fresh.delete(f"/os-security-group-rules/{http['id']}", 404, OLD)
    renamed = fresh.put(path, {"security_group": {"name": "www", "description": "e"}}, 200, OLD)["security_group"]
    assert (renamed["name"], len(renamed["rules"])) == ("www", 2)
    names = [each["name"] for each in fresh.get("/os-security-groups", version=OLD)["security_groups"]]
    assert names == ["default", "www"]
    assert len(fresh.get("/os-security-groups", version=OLD, limit=1)["security_groups"]) == 1
    everyones = admin.get("/os-security-groups", version=OLD, all_tenants=1)["security_groups"]
    assert group["id"] in {each["id"] for each in everyones}
    other.refused("DELETE", path, 404, OLD)
    fresh.delete(path, 202, OLD)
    fresh.refused("GET", path, 404, OLD)
    fresh.refused("GET", "/os-security-groups/x", 400, OLD)
    fresh.refused("POST", "/os-security-groups", 400, OLD, json={"security_group": {"name": "no description"}})
    Network(cloud, admin).put(f"/quotas/{fresh.project_id}", {"quota": {"security_group": 1}})
    assert "Quota exceeded" in fresh.refused("POST", "/os-security-groups", 403, OLD, json=wish)


MALFORMED = 300
BODIES: list[Json] = [
    {"metadata": {"a": "b"}},
    {"meta": {"a": "b"}},
    {"pool": "p"},
    {"security_group": {"name": "n", "description": "d"}},
    {"security_group_rule": {"parent_group_id": str(uuid.uuid4()), "ip_protocol": "tcp", "from_port": 1, "to_port": 2}},
]


def test_malformed_inputs_are_no_errors_of_ours(cloud: Cloud, lab: Lab, demo: Api) -> None:  # noqa: F811
    """As tests/edge/test_malformed.py, which asks at the newest microversion, where these routes are no more."""
    routers = (image_proxy.router, network_proxy.router, group_proxy.router)
    each = (r for router in routers for r in router.routes if isinstance(r, APIRoute))
    routes = [malformed.Route(method, f"/v2.1{r.path}") for r in each for method in r.methods]
    ids = {"image_id": lab.image, "network_id": lab.network, "key": "k"}
    kinds = (malformed.in_paths, malformed.in_queries)
    asks = [ask for route in routes for ask in chain.from_iterable(kind(route, ids) for kind in kinds)]
    asks += [ask for route in routes for ask in malformed.in_bodies(route, ids, BODIES)]
    usual = {"x-auth-token": demo.token, "openstack-api-version": "compute 2.35", "content-type": "application/json"}
    wrong = []
    with httpx.Client(base_url=cloud.settings.url("compute"), **HTTP) as http:
        for ask in malformed.spread(asks, MALFORMED):
            request = http.build_request(ask.route.method, "/", headers=usual, content=ask.body)
            request.url = request.url.copy_with(raw_path=ask.url.encode("ascii"))
            answer = http.send(request)
            wrong += [f"{ask.route} {ask.place}: {answer.text[:200]}"] if answer.status_code >= 500 else []
    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.parametrize("version", ["2.1", "2.104"])
def test_what_nova_has_no_longer_is_gone(admin: Api, version: str) -> None:
    for methods, path in GONE:
        for method in methods.split():
            words = admin.refused(method, path.replace("{", "").replace("}", ""), 410, version)
            assert words == "This resource is no longer available. No forwarding address is given."
