"""The unmodified `openstack` client and openstacksdk against the volume service."""

import json
import os
import subprocess
from typing import Any

import openstack

from infra import credentials
from tests.signed_in import environment
from tests.volume.cloud import Cloud, until
from tests.volume.images import ImageServer


class Client:
    """`program`: as the fixture `openstack_client` tells it, which has set OPENSTACK_SERVED."""

    def __init__(self, cloud: Cloud, program: str, user: str = "demo") -> None:
        self.program, served = program, {"OPENSTACK_SERVED": os.environ["OPENSTACK_SERVED"]}
        self.env = served | cloud.env | environment(cloud.settings, user)

    def __call__(self, *words: str) -> Any:
        argv = [self.program, *words]
        told = bool({"create", "list", "show"} & set(words[1:4]))
        if told:
            argv += ["-f", "json"]
        done = subprocess.run(argv, env=self.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if told else None


def test_walk_with_the_openstack_client(cloud: Cloud, openstack_client: str, images: ImageServer) -> None:
    """The client asks the image service for its versions before it makes a volume."""
    client = Client(cloud, openstack_client)
    made = client("volume", "create", "--size", "1", "--property", "tier=1", "cli-v1")
    assert (made["name"], made["size"], made["status"]) == ("cli-v1", 1, "creating")
    cloud.settled(made["id"], "available")
    assert "cli-v1" in [v["Name"] for v in client("volume", "list", "--name", "cli-v1")]
    shown = client("volume", "show", "cli-v1")
    assert (shown["id"], shown["status"], shown["properties"]) == (made["id"], "available", {"tier": "1"})
    snapshot = client("volume", "snapshot", "create", "--volume", "cli-v1", "cli-s1")
    assert snapshot["volume_id"] == made["id"]
    assert [t["Name"] for t in client("volume", "type", "list")] == ["nbd"]
    image = images.add(b"guest" * 1000)
    boot = client("volume", "create", "--size", "1", "--image", image, "cli-boot")
    cloud.settled(boot["id"], "available")
    assert client("volume", "show", boot["id"])["volume_image_metadata"]["image_id"] == image
    client("volume", "snapshot", "delete", "cli-s1")
    until(lambda: cloud.call("GET", f"/snapshots/{snapshot['id']}").status_code == 404)
    client("volume", "delete", "cli-v1", "cli-boot")
    until(lambda: cloud.status(made["id"]) == "gone")


EMPTY = [
    ("volume", "backup", "list"),
    ("volume", "group", "list"),
    ("volume", "group", "type", "list"),
    ("consistency", "group", "list"),
    ("volume", "qos", "list"),
    ("volume", "transfer", "request", "list"),
]


def test_lists_of_what_is_not_there_are_empty_for_the_client(cloud: Cloud, openstack_client: str) -> None:
    admin = Client(cloud, openstack_client, "admin")
    admin.env["OS_VOLUME_API_VERSION"] = "3.71"
    assert {words: admin(*words) for words in EMPTY} == {words: [] for words in EMPTY}
    (service,) = admin("volume", "service", "list")
    assert (service["Binary"], service["State"]) == ("cinder-volume", "up")


def test_types_and_transfers_with_the_client(cloud: Cloud, openstack_client: str, images: ImageServer) -> None:
    admin, demo = Client(cloud, openstack_client, "admin"), Client(cloud, openstack_client)
    kind = admin("volume", "type", "create", "--property", "multiattach=<is> True", "cli-shared")
    assert kind["name"] == "cli-shared"
    made = demo("volume", "create", "--size", "1", "--type", "cli-shared", "cli-gift")
    cloud.settled(made["id"], "available")
    demo("volume", "set", "--size", "2", "cli-gift")
    until(lambda: cloud.ok("GET", f"/volumes/{made['id']}")["volume"]["size"] == 2)
    offered = demo("volume", "transfer", "request", "create", "cli-gift")
    taken = ("volume", "transfer", "request", "accept", "--auth-key", offered["auth_key"], offered["id"])
    admin(*taken)
    assert cloud.call("GET", f"/volumes/{made['id']}").status_code == 404
    admin("volume", "delete", made["id"])
    until(lambda: cloud.status(made["id"]) == "gone")
    admin("volume", "type", "delete", "cli-shared")


def test_openstacksdk(cloud: Cloud) -> None:
    connection = openstack.connect(
        auth_url=cloud.settings.identity_url,
        username="demo",
        password=credentials.load(cloud.settings.state_dir)["demo"],
        project_name="demo",
        user_domain_id="default",
        project_domain_id="default",
    )
    storage = connection.block_storage
    volume = connection.create_volume(1, name="sdk", wait=True, timeout=30)
    assert volume.status == "available" and volume.is_bootable is False
    snapshot = storage.create_snapshot(volume_id=volume.id, name="sdk-s")
    storage.wait_for_status(snapshot, "available", interval=0.1, wait=20)
    storage.extend_volume(volume, 2)
    assert storage.get_volume(volume.id).size == 2
    attachment = storage.create_attachment(volume.id, connector={"host": "mine"})
    assert attachment.connection_info["driver_volume_type"] == "nbd"
    storage.complete_attachment(attachment)
    assert storage.get_volume(volume.id).status == "in-use"
    storage.delete_attachment(attachment)
    assert storage.get_limits().absolute.total_volumes_used >= 1
    assert storage.get_quota_set(connection.current_project_id, usage=True).usage["volumes"] >= 1
    storage.delete_snapshot(snapshot)
    storage.wait_for_delete(snapshot, interval=0.1, wait=20)
    assert connection.delete_volume(volume.id, wait=True, timeout=20)
    connection.close()
