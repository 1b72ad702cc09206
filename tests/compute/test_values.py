"""Values of other types, which Python or pydantic would take for what Nova's schemas ask for."""

import pytest

from tests.compute.conftest import Api, Cloud, Json

ID = "0c68e6fd-73b9-50db-b8ce-344a444d56ba"


@pytest.mark.parametrize(
    "change",
    [
        {"config_drive": 0},
        {"return_reservation_id": 1},
        {"block_device_mapping_v2": [{"source_type": "blank", "device_name": ""}]},
        {"block_device_mapping_v2": [{"source_type": "blank", "delete_on_termination": 0}]},
    ],
)
def test_of_a_new_server(demo: Api, change: Json) -> None:
    server = {"name": "n", "flavorRef": "nope", "imageRef": "", "networks": "none", **change}
    words = demo.refused("POST", "/servers", 400, json={"server": server})
    assert words.startswith("Invalid input for field/attribute server/"), words


def test_of_a_hint(demo: Api) -> None:
    body = {"server": {"name": "n", "flavorRef": "nope", "imageRef": "", "networks": "none"}}
    for hosts in (["a"], [5]):
        words = demo.refused("POST", "/servers", 400, json=body | {"os:scheduler_hints": {"same_host": hosts}})
        assert words.startswith("Invalid input for field/attribute os:scheduler_hints/same_host"), words
    for hosts in ("anything", [ID]):  # what a server is not, no filter finds
        words = demo.refused("POST", "/servers", 400, json=body | {"os:scheduler_hints": {"same_host": hosts}})
        assert words.startswith("Flavor nope"), words


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("createBackup", {"name": "b", "backup_type": "daily", "rotation": True}),
        ("rebuild", {"imageRef": ID, "preserve_ephemeral": 0}),
        ("os-getConsoleOutput", {"length": True}),
    ],
)
def test_of_an_action(cloud: Cloud, demo: Api, action: str, body: Json) -> None:
    server = cloud.server(demo, host="node1")
    words = demo.refused("POST", f"/servers/{server}/action", 400, json={action: body})
    assert words.startswith(f"Invalid input for field/attribute {action}/"), words


@pytest.mark.parametrize("change", [{"device": "vdb"}, {"device": ""}, {"delete_on_termination": 0}])
def test_of_an_attachment(cloud: Cloud, demo: Api, change: Json) -> None:
    server = cloud.server(demo, host="node1")
    path, body = f"/servers/{server}/os-volume_attachments", {"volumeAttachment": {"volumeId": ID} | change}
    for method, where in (("POST", path), ("PUT", f"{path}/{ID}")):
        words = demo.refused(method, where, 400, json=body)
        assert words.startswith("Invalid input for field/attribute volumeAttachment/"), words


def test_of_a_flavor(admin: Api) -> None:
    flavor = {"name": "valued", "ram": 64, "vcpus": 1, "disk": 1}
    for change in ({"os-flavor-access:is_public": 1}, {"description": "a\nb"}):
        admin.refused("POST", "/flavors", 400, json={"flavor": flavor | change})
