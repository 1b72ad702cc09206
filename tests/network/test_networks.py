from collections.abc import Callable
from typing import Any

import pytest

from tests.network.conftest import Api

Make = Callable[..., dict[str, Any]]


def test_provider_network_as_admin_and_as_member(admin: Api, demo: Api, provider: Make) -> None:
    made = provider(name="lan")
    assert made["provider:network_type"] == "flat" and made["provider:segmentation_id"] is None
    assert (made["shared"], made["router:external"], made["status"], made["mtu"]) == (True, True, "ACTIVE", 1500)
    assert made["tenant_id"] == made["project_id"] == admin.project_id
    seen = demo.get(f"/networks/{made['id']}")["network"]
    assert seen["name"] == "lan" and not [name for name in seen if name.startswith("provider:")]


@pytest.mark.parametrize(
    "attribute",
    [
        {"shared": True},
        {"router:external": True},
        {"provider:network_type": "flat"},
        {"provider:physical_network": "x"},
        {"segments": [{"provider:physical_network": "x"}]},
    ],
)
def test_members_may_not_choose_provider_attributes(anyone: Api, attribute: dict[str, Any]) -> None:
    error = anyone.post("/networks", "network", 403, name="n", **attribute)
    name = next(iter(attribute))
    assert error["type"] == "PolicyNotAuthorized"
    assert error["message"] == f"rule:create_network:{name} is disallowed by policy"
    assert anyone.get("/networks", name="n")["networks"] == []


def test_a_members_network_is_a_vxlan_of_its_own(admin: Api, demo: Api, other: Api) -> None:
    made = demo.network(name="mine", shared=False)
    whole = admin.get(f"/networks/{made['id']}")["network"]
    assert (whole["provider:network_type"], whole["mtu"]) == ("vxlan", 1450)
    assert whole["provider:segmentation_id"] != admin.network()["provider:segmentation_id"]
    error = other.get(f"/networks/{made['id']}", 404)["NeutronError"]
    assert error == {"type": "NetworkNotFound", "message": f"Network {made['id']} could not be found.", "detail": ""}
    assert made["id"] not in [one["id"] for one in other.get("/networks")["networks"]]
    other.delete(f"/networks/{made['id']}", 404)


def test_a_flat_network_needs_its_physical_network_for_itself(admin: Api, provider: Make) -> None:
    made = provider()
    flat = {"provider:network_type": "flat", "provider:physical_network": made["provider:physical_network"]}
    assert admin.post("/networks", "network", 409, **flat)["type"] == "FlatNetworkInUse"
    admin.delete(f"/networks/{made['id']}")
    admin.delete(f"/networks/{admin.network(**flat)['id']}")


def test_provider_attributes_as_a_segment(admin: Api) -> None:
    """As Terraform writes them, whose number is 0 where none was given."""
    segment = {"provider:network_type": "flat", "provider:physical_network": "one", "provider:segmentation_id": 0}
    made = admin.network(segments=[segment])
    assert (made["provider:physical_network"], made["provider:segmentation_id"]) == ("one", None)
    assert "segments" not in made
    admin.delete(f"/networks/{made['id']}")


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"segments": [{}, {}]}, "several segments"),
        ({"segments": [{}], "provider:network_type": "vxlan"}, "Segments and provider values cannot both be set."),
        ({"provider:network_type": "vlan"}, "network_type value 'vlan' not supported"),
        ({"provider:network_type": "flat"}, "physical_network required for flat provider network"),
        (
            {"provider:network_type": "flat", "provider:physical_network": "p", "provider:segmentation_id": 7},
            "prohibited",
        ),
        ({"mtu": 10}, "mtu 10"),
    ],
)
def test_networks_that_make_no_sense(admin: Api, attributes: dict[str, Any], words: str) -> None:
    error = admin.post("/networks", "network", 400, name="senseless", **attributes)
    assert error["type"] == "InvalidInput" and words in error["message"]
    assert admin.get("/networks", name="senseless")["networks"] == []


def test_update_counts_revisions_and_heeds_if_match(demo: Api, other: Api, provider: Make) -> None:
    made = demo.network(name="a")
    changed = demo.put(f"/networks/{made['id']}", "network", name="b", mtu=1400)
    assert (changed["name"], changed["mtu"]) == ("b", 1400)
    assert changed["revision_number"] == made["revision_number"] + 1
    old = {"If-Match": f"revision_number={made['revision_number']}"}
    answer = demo.http.put(f"/networks/{made['id']}", json={"network": {"name": "c"}}, headers=old)
    assert answer.status_code == 412
    assert answer.json()["NeutronError"]["type"] == "RevisionNumberConstraintFailed"
    assert demo.put(f"/networks/{made['id']}", "network", 400, id="x")["message"] == (
        "Cannot update read-only attribute id"
    )
    shared = provider()
    assert other.put(f"/networks/{shared['id']}", "network", 403, name="stolen")["type"] == "PolicyNotAuthorized"
    assert demo.delete(f"/networks/{shared['id']}", 403)["type"] == "PolicyNotAuthorized"


def test_delete_waits_for_ports_but_not_for_dhcp(admin: Api, demo: Api) -> None:
    network = demo.network()
    subnet = demo.subnet(network)
    admin.port(network, device_owner="network:dhcp", project_id=demo.project_id)
    port = demo.port(network)
    error = demo.delete(f"/networks/{network['id']}", 409)
    assert error["type"] == "NetworkInUse" and port["id"] in error["message"]
    demo.delete(f"/ports/{port['id']}")
    demo.delete(f"/networks/{network['id']}")
    demo.get(f"/subnets/{subnet['id']}", 404)
    assert admin.get("/ports", network_id=network["id"])["ports"] == []


def test_unsharing_is_refused_while_others_have_ports(admin: Api, demo: Api, provider: Make) -> None:
    network = provider()
    port = demo.port(network)
    assert admin.put(f"/networks/{network['id']}", "network", 409, shared=False)["type"] == "InvalidSharedSetting"
    demo.delete(f"/ports/{port['id']}")
    assert not admin.put(f"/networks/{network['id']}", "network", shared=False)["shared"]


def test_several_in_one_request_are_all_or_nothing(demo: Api) -> None:
    answer = demo.http.post("/networks", json={"networks": [{"name": "m1"}, {"name": "m2"}]})
    assert answer.status_code == 201 and [one["name"] for one in answer.json()["networks"]] == ["m1", "m2"]
    bad = demo.http.post("/networks", json={"networks": [{"name": "m3"}, {"name": "m4", "shared": True}]})
    assert bad.status_code == 403
    assert demo.get("/networks", name="m3")["networks"] == []


def test_a_reader_only_reads(cloud: Any) -> None:
    reader = cloud.tenant("reader")
    assert reader.post("/networks", "network", 403, name="r")["type"] == "PolicyNotAuthorized"
    reader.get("/networks")


def test_external_networks_are_seen_but_take_no_tenants_ports(anyone: Api, provider: Make) -> None:
    outside = provider(shared=False)
    anyone.get(f"/networks/{outside['id']}")
    assert anyone.post("/ports", "port", 403, network_id=outside["id"])["type"] == "PolicyNotAuthorized"
