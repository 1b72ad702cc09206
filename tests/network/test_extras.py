"""Quotas, tags, extensions, versions, and the format of errors."""

import json
from typing import Any

import httpx
import pytest

from tests.network.conftest import Api, Cloud


def test_quotas(admin: Api, demo: Api, other: Api) -> None:
    path = f"/quotas/{demo.project_id}"
    assert demo.get(path)["quota"]["port"] == 500
    assert demo.put(path, "quota", 403, port=1)["type"] == "PolicyNotAuthorized"
    other.get(path, 403)
    assert admin.put(path, "quota", port=1, subnet=-1)["port"] == 1
    network = demo.network()
    port = demo.port(network)
    error = demo.post("/ports", "port", 409, network_id=network["id"])
    assert error == {"type": "OverQuota", "message": "Quota exceeded for resources: ['port'].", "detail": ""}
    assert demo.get(f"{path}/details")["quota"]["port"] == {"limit": 1, "used": 1, "reserved": 0}
    demo.delete(f"/ports/{port['id']}")
    demo.port(network)
    assert demo.project_id in [quota["project_id"] for quota in admin.get("/quotas")["quotas"]]
    for wrong in ({"port": -2}, {"port": "many"}, {"port": True}, {"colour": 1}):
        admin.put(path, "quota", 400, **wrong)
    error = admin.put(path, "quota", 400, port=0, check_limit=True)
    assert error["message"] == "Quota limit 0 for port must be greater than or equal to already used 1"
    assert admin.put(path, "quota", port=5, check_limit=True)["port"] == 5
    assert admin.put(path, "quota", port=0, force=True)["port"] == 0
    admin.put(path, "quota", 400, port=5, check_limit="perhaps")
    admin.delete(path)
    assert admin.delete(path, 404)["type"] == "TenantQuotaNotFound"
    assert demo.get(path)["quota"]["port"] == demo.get(f"{path}/default")["quota"]["port"] == 500


def test_tags(demo: Api, other: Api) -> None:
    network = demo.network(tags=["a"])
    path = f"/networks/{network['id']}"
    assert demo.http.put(f"{path}/tags", json={"tags": ["blue", "red"]}).json() == {"tags": ["blue", "red"]}
    assert demo.http.put(f"{path}/tags/green").status_code == 201
    assert demo.http.get(f"{path}/tags/green").status_code == 204
    assert demo.get(f"{path}/tags/pink", 404)["NeutronError"]["type"] == "TagNotFound"
    shown = demo.get(path)["network"]
    assert shown["tags"] == ["blue", "green", "red"] and shown["revision_number"] == 3
    for query, found in (
        ({"tags": "blue,red"}, 1),
        ({"tags": "blue,pink"}, 0),
        ({"tags-any": "pink,red"}, 1),
        ({"not-tags": "blue,red"}, 0),
        ({"not-tags-any": "pink"}, 1),
    ):
        assert len(demo.get("/networks", id=network["id"], **query)["networks"]) == found, query
    demo.delete(f"{path}/tags/green")
    demo.delete(f"{path}/tags/green", 404)
    demo.delete(f"{path}/tags")
    assert demo.get(f"{path}/tags") == {"tags": []}
    assert demo.get("/extensions/tag-creation")["extension"]["alias"] == "tag-creation"
    for added, kept in ((["red"], ["red"]), (["blue", "red"], ["blue", "red"]), ([], ["blue", "red"])):
        answer = demo.http.post(f"{path}/tags", json={"tags": added})
        assert (answer.status_code, answer.json()) == (201, {"tags": kept})
    assert other.http.put(f"{path}/tags/x").status_code == 404
    assert demo.http.put(f"{path}/tags", json={"tags": ["x" * 300]}).status_code == 400
    assert demo.http.put(f"{path}/tags", json={"tags": None}).status_code == 400
    assert demo.http.put(f"/routers/{network['id']}/tags/x").status_code == 404


def test_versions_need_no_token_and_lead_to_the_resources(cloud: Cloud, anyone: Api) -> None:
    body = httpx.get(f"{cloud.url}/").json()
    (version,) = body["versions"]
    assert (version["id"], version["status"]) == ("v2.0", "CURRENT")
    assert version["links"][0]["href"] == f"{cloud.url}/v2.0/"
    collections = [one["collection"] for one in anyone.get("/")["resources"]]
    assert {"networks", "subnets", "ports", "security_groups"} <= set(collections)


def test_quotas_of_all_projects_are_an_administrators(demo: Api, admin: Api) -> None:
    error = demo.get("/quotas", 403)["NeutronError"]
    assert error["type"] == "AdminRequired"
    assert error["message"] == "User does not have admin privileges: Only admin can view or configure quota"
    assert "quotas" in admin.get("/quotas")


def test_extensions(anyone: Api) -> None:
    listed = anyone.get("/extensions")["extensions"]
    aliases = {one["alias"] for one in listed}
    assert {"security-group", "provider", "external-net", "binding", "port-security", "quotas"} <= aliases
    assert not {"metering", "port-mac-override", "l3-ha", "dvr", "extra_dhcp_opt", "segment"} & aliases
    assert anyone.get("/extensions/binding")["extension"]["alias"] == "binding"
    assert anyone.get("/extensions/dvr", 404)["NeutronError"]["type"] == "HTTPNotFound"


def test_what_is_not_built_says_so(anyone: Api) -> None:
    for path in ("/metering/metering-labels", "/segments", "/flavors", "/log/logs", "/local_ips", "/ndp_proxies"):
        error = anyone.get(path, 404)["NeutronError"]
        assert (error["type"], error["message"]) == ("HTTPNotFound", "The resource could not be found.")
    error = anyone.post("/routers", "router", 400, ha=True)
    assert error["message"] == "Unrecognized attribute(s) 'ha'"
    network = anyone.network()
    options = [{"opt_name": "bootfile-name", "opt_value": "x"}]
    error = anyone.post("/ports", "port", 400, network_id=network["id"], extra_dhcp_opts=options)
    assert error["message"] == "Unrecognized attribute(s) 'extra_dhcp_opts'"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{", "Malformed request body"),
        ("[]", "Invalid input"),
        ("{}", "Unable to find 'network' in request body"),
        ('{"network": []}', "'network' must be an object"),
        ('{"networks": []}', "must be a list"),
        ('{"network": {"name": null}}', "Invalid input for name"),
        ('{"network": {"name": 5}}', "Invalid input for name"),
        ('{"network": {"nmae": "x"}}', "Unrecognized attribute(s) 'nmae'"),
        ('{"network": {"subnets": []}}', "Attribute 'subnets' not allowed in POST"),
        ('{"network": {"admin_state_up": "perhaps"}}', "Invalid input for admin_state_up"),
        ('{"network": {"project_id": "a", "tenant_id": "b"}}', "do not match"),
    ],
)
def test_malformed_bodies(anyone: Api, body: str, words: str) -> None:
    answer = anyone.http.post("/networks", content=body, headers={"Content-Type": "application/json"})
    error: dict[str, Any] = answer.json()["NeutronError"]
    assert answer.status_code == 400 and error["type"] == "HTTPBadRequest" and error["detail"] == ""
    assert words in error["message"]
    assert answer.headers["x-openstack-request-id"].startswith("req-")


def test_required_attributes(anyone: Api) -> None:
    error = anyone.post("/ports", "port", 400, name="p")
    assert error["message"] == "Failed to parse request. Required attribute 'network_id' not specified"


def test_without_a_good_token(cloud: Cloud) -> None:
    for headers in ({}, {"X-Auth-Token": "nonsense"}):
        answer = httpx.get(f"{cloud.url}/v2.0/networks", headers=headers)
        assert answer.status_code == 401 and "Keystone uri=" in answer.headers["www-authenticate"]


def test_methods_that_are_not_there(anyone: Api) -> None:
    answer = anyone.http.patch("/networks")
    assert answer.status_code == 405
    assert answer.json()["NeutronError"]["type"] == "HTTPMethodNotAllowed"


@pytest.mark.parametrize("text", ["\\u0000", "\\ud800", "\\ud83d\\ude00", "<b>'\\\"; DROP TABLE ports; --"])
def test_odd_characters_are_kept_or_refused(anyone: Api, text: str) -> None:
    json_type = {"Content-Type": "application/json"}
    body = f'{{"network": {{"name": "{text}"}}}}'
    answer = anyone.http.post("/networks", content=body, headers=json_type)
    if answer.status_code == 201:
        name = json.loads(f'"{text}"')
        assert answer.json()["network"]["name"] == name
        assert name in [one["name"] for one in anyone.get("/networks", name=name)["networks"]]
    else:
        assert answer.status_code == 400 and answer.json()["NeutronError"]["type"] == "HTTPBadRequest"
    assert anyone.http.get("/networks/%00").status_code in (400, 404)


def test_routers_have_one_provider(demo: Api) -> None:
    known = [{"service_type": "L3_ROUTER_NAT", "name": "single_node", "default": True}]
    assert demo.get("/service-providers")["service_providers"] == known
    assert demo.get("/service-providers", service_type="VPN")["service_providers"] == []
    assert demo.get("/service-providers", default="false")["service_providers"] == []
    assert demo.get("/service-providers", fields="name", default="1")["service_providers"] == [{"name": "single_node"}]
    demo.get("/service-providers", 400, colour="red")
    assert demo.get("/extensions/service-type")["extension"]["alias"] == "service-type"
